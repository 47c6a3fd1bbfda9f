"""Times deployments on the test bed: through `smo`, and by plain `helm install`, in the same run.

    source <(python3 -m testbed env); python3 benches/deploy.py --binary target/release/smo

For graphs of 1, 10 and 50 services it prints the time from the first command or request until every Deployment is ready
in its member: by Helm one release after the other, by Helm in parallel (as many at a time as `smo` runs, 8), and by `smo`
with a chart that brings policies (`chart`) and one that knows nothing of Karmada (`managed`): the first time, when the
charts are rendered before they are placed, and when the stopped graph is started again. Then the time of a move of all
services to another member, through Helm (`chart`) and by policies alone (`managed`). Prints too how long the server takes
to start and how much memory it holds when idle. Medians over `--rounds`; the ways take turns, so that a slow moment hits
all of them.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
from demo import answers, free_port  # noqa: E402

PARALLEL = 8
NAMESPACE = "bench"
MEMBER = "member1"
AWAY = "member2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="the smo binary (release)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    subprocess.run(["bash", ROOT / "examples/push-charts.sh", variable("TESTBED_REGISTRY"), variable("HELM_BIN")],
                   env=os.environ | {"INSECURE_REGISTRY": "true"}, check=True, stdout=subprocess.DEVNULL)
    charts = {"chart": bench_chart("bench", TEMPLATE + POLICY), "managed": bench_chart("plain", TEMPLATE)}
    with Server(arguments.binary) as server:
        print(f"start {server.start_seconds:.3f} s, idle {server.resident_mib():.1f} MiB, "
              f"binary {os.path.getsize(arguments.binary) / 2**20:.1f} MiB\n")
        for size in arguments.sizes:
            times: dict[str, list[float]] = {}
            for _ in range(arguments.rounds):
                for kind, chart in charts.items():
                    for step, seconds in by_smo(server, chart, size).items():
                        times.setdefault(f"{kind}, {step}", []).append(seconds)
                times.setdefault("helm, parallel", []).append(by_helm(charts["chart"], size, PARALLEL))
                times.setdefault("helm, one by one", []).append(by_helm(charts["chart"], size, 1))
            parallel = statistics.median(times["helm, parallel"])
            print(f"{size} services")
            for way, seconds in times.items():
                median = statistics.median(seconds)
                print(f"  {way:18}  {median:6.2f} s  {median / parallel:5.2f} of helm in parallel", flush=True)


def bench_chart(name: str, template: str) -> str:
    """A chart whose objects are named after the release, so that it can be installed many times."""
    registry, folder = variable("TESTBED_REGISTRY"), pathlib.Path(tempfile.mkdtemp(prefix="smo-bench-"))
    chart = folder / name
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: 0.1.0\n")
    (chart / "values.yaml").write_text("clustersAffinity: [member1]\nserviceImportClusters: []\n")
    (chart / "templates" / "all.yaml").write_text(template)
    helm = variable("HELM_BIN")
    run([helm, "package", str(chart), "-d", str(folder)])
    run([helm, "push", str(folder / f"{name}-0.1.0.tgz"), f"oci://{registry}/bench", "--plain-http"])
    shutil.rmtree(folder)
    return f"oci://{registry}/bench/{name}"


TEMPLATE = """
apiVersion: apps/v1
kind: Deployment
metadata: { name: {{ .Release.Name }} }
spec:
  replicas: 1
  selector: { matchLabels: { app: {{ .Release.Name }} } }
  template:
    metadata: { labels: { app: {{ .Release.Name }} } }
    spec:
      containers:
        - name: main
          image: registry.example/bench
          resources: { requests: { cpu: 10m, memory: 16Mi } }
"""

POLICY = """
---
apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: { name: {{ .Release.Name }} }
spec:
  resourceSelectors: [{ apiVersion: apps/v1, kind: Deployment, name: {{ .Release.Name }} }]
  placement: { clusterAffinity: { clusterNames: {{ toJson .Values.clustersAffinity }} } }
"""


def by_smo(server: "Server", chart: str, size: int) -> dict[str, float]:
    """Seconds from each request until all is ready in the member."""
    names = [f"bench-{number}" for number in range(size)]
    services = [{
        "id": name,
        "deployment": {"trigger": {"auto": {"dependencies": []}}, "intent": {"compute": {"cpu": "tiny", "ram": "tiny",
                                                                                       "storage": "tiny"}}},
        "artifact": {"ociImage": chart},
    } for name in names]
    graph = {"hdaGraph": {"id": "bench", "services": services}}
    steps = {}

    def timed(step: str, path: str, body: str = "{}", member: str = MEMBER) -> None:
        start = time.monotonic()
        server.call("POST", path, body)
        until_ready(names, member)
        steps[step] = time.monotonic() - start

    price(server, home=0.01, away=1)
    timed("first", f"/project/{NAMESPACE}/graphs", json.dumps(graph))
    server.call("POST", "/graphs/bench/stop", "{}")
    until_gone()
    timed("again", "/graphs/bench/start")
    # Of a hundredth of a core, and more than a move costs.
    price(server, home=100_000, away=1)
    timed("move", "/graphs/bench/placement?strategy=cost", member=AWAY)
    server.call("DELETE", "/graphs/bench")
    until_gone(AWAY)
    until_gone()
    return steps


def price(server: "Server", home: float, away: float) -> None:
    """Makes a move by cost go from one member to the other."""
    for member, cost in ((MEMBER, home), (AWAY, away), ("member3", 200_000)):
        server.call("PUT", f"/clusters/{member}/attributes", json.dumps({"price_per_core_hour": cost}))


def by_helm(chart: str, size: int, parallel: int) -> float:
    """Seconds from the first command until all is ready in the member."""
    names = [f"bench-{number}" for number in range(size)]
    values = pathlib.Path(tempfile.mkdtemp()) / "values.json"
    values.write_text(json.dumps({"clustersAffinity": [MEMBER], "serviceImportClusters": [MEMBER]}))
    common = ["--namespace", NAMESPACE, "--kubeconfig", variable("KARMADA_KUBECONFIG")]
    install = ["--create-namespace", "--values", str(values), "--plain-http"]
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        list(pool.map(lambda name: run([variable("HELM_BIN"), "install", name, chart, *common, *install]), names))
    until_ready(names)
    seconds = time.monotonic() - start
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(lambda name: run([variable("HELM_BIN"), "uninstall", name, *common, "--wait"]), names))
    until_gone()
    return seconds


def until_ready(names: list[str], member: str = MEMBER) -> None:
    def are_ready() -> bool:
        found = deployments(member)
        return all(found.get(name, 0) >= 1 for name in names)

    poll(are_ready, f"{len(names)} Deployments are ready")


def until_gone(member: str = MEMBER) -> None:
    poll(lambda: not deployments(member), "nothing is left")


def deployments(member: str) -> dict[str, int]:
    """Ready replicas by name, asked of the member itself."""
    kubeconfig = variable(f"TESTBED_{member.upper()}_KUBECONFIG")
    out = run([variable("TESTBED_KUBECTL"), "--kubeconfig", kubeconfig, "-n", NAMESPACE, "get", "deployments", "-o", "json"])
    return {item["metadata"]["name"]: item.get("status", {}).get("readyReplicas", 0) for item in json.loads(out)["items"]}


def poll(condition, what: str, limit: float = 180.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {limit:.0f} s")
        time.sleep(0.1)


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command[:3])} …: {done.stderr.strip()}")
    return done.stdout


def variable(name: str) -> str:
    return os.environ.get(name) or sys.exit(f"{name} is not set; source <(python3 -m testbed env)")


class Server:
    """A `smo` of this run: SQLite, real clusters, a class of tiny services."""

    def __init__(self, binary: str, settle: float = 3):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.data = tempfile.mkdtemp(prefix="smo-bench-")
        config = pathlib.Path(self.data) / "smo.yaml"
        config.write_text("intents:\n  cpu: { tiny: 10m }\n  ram: { tiny: 16Mi }\n  storage: { tiny: 1Mi }\n")
        settings = {"SMO_MODE": "real", "SMO_LISTEN": self.url.removeprefix("http://"), "SMO_DATA_DIR": self.data,
                    "DATABASE_URL": f"sqlite://{self.data}/smo.db", "SMO_CONFIG": str(config), "SMO_WAIT": "120"}
        begin = time.monotonic()
        self.process = subprocess.Popen([binary, "serve"], env=os.environ | settings, stderr=subprocess.DEVNULL)
        while not answers(self.url):
            if self.process.poll() is not None or time.monotonic() - begin > 20:
                sys.exit("smo does not start")
            time.sleep(0.005)
        self.start_seconds = time.monotonic() - begin
        time.sleep(settle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=40)
        shutil.rmtree(self.data, ignore_errors=True)

    def resident_mib(self) -> float:
        """Memory that the process holds."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def cpu_seconds(self) -> float:
        """CPU time that the process has used, all threads together."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def call(self, method: str, path: str, body: str | None = None):
        request = urllib.request.Request(self.url + path, data=body and body.encode(), method=method,
                                         headers={"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=180) as answer:
            return json.load(answer)


if __name__ == "__main__":
    main()
