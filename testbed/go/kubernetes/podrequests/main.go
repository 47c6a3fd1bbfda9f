// Prints pod templates with the requests that Kubernetes' scheduler counts for their pods, as JSON: the golden values of
// src/clients/karmada/pod.rs.
//
//	cd testbed/go/kubernetes && go run ./podrequests > ../../../src/clients/karmada/pod_requests.json
//
// The templates are made of a fixed seed. Defaults are applied by the API server's own code first, since it turns limits
// without requests into requests when the pod is created.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	helpers "k8s.io/component-helpers/resource"
	defaults "k8s.io/kubernetes/pkg/apis/core/v1"
)

type golden struct {
	Spec    v1.PodSpec `json:"spec"`
	CPU     int64      `json:"cpu_millicores"`
	RAM     int64      `json:"ram_bytes"`
	Storage int64      `json:"storage_bytes"`
	GPUs    int64      `json:"gpus"`
}

var chance = rand.New(rand.NewSource(1))

func main() {
	pods := make([]golden, 0, 300)
	for len(pods) < cap(pods) {
		spec := podSpec()
		pod := &v1.Pod{Spec: *spec.DeepCopy()}
		defaults.SetObjectDefaults_Pod(pod)
		requests := helpers.PodRequests(pod, helpers.PodResourcesOptions{})
		amount := func(name v1.ResourceName) int64 { quantity := requests[name]; return quantity.Value() }
		pods = append(pods, golden{
			Spec: spec, CPU: requests.Cpu().MilliValue(), RAM: amount(v1.ResourceMemory),
			Storage: amount(v1.ResourceEphemeralStorage), GPUs: amount("nvidia.com/gpu"),
		})
	}
	encoder := json.NewEncoder(os.Stdout)
	fmt.Println("[")
	for number, pod := range pods {
		if number > 0 {
			fmt.Print(",")
		}
		if err := encoder.Encode(pod); err != nil {
			panic(err)
		}
	}
	fmt.Println("]")
}

func podSpec() v1.PodSpec {
	always := v1.ContainerRestartPolicyAlways
	spec := v1.PodSpec{Containers: containers("main", 1+chance.Intn(3)), InitContainers: containers("init", chance.Intn(4))}
	for number := range spec.InitContainers {
		if chance.Intn(2) == 0 {
			spec.InitContainers[number].RestartPolicy = &always
		}
	}
	if chance.Intn(4) == 0 {
		spec.Overhead = v1.ResourceList{v1.ResourceCPU: quantity("m", 250), v1.ResourceMemory: quantity("Mi", 64)}
	}
	if chance.Intn(3) == 0 {
		// Pod-level resources are CPU and memory only.
		spec.Resources = requirements(2)
	}
	return spec
}

func containers(name string, count int) []v1.Container {
	made := make([]v1.Container, count)
	for number := range made {
		made[number] = v1.Container{Name: fmt.Sprintf("%s-%d", name, number)}
		if chance.Intn(5) > 0 {
			made[number].Resources = *requirements(4)
		}
	}
	return made
}

// requirements gives some of the first resources a request, a limit that is no smaller, or both.
func requirements(kinds int) *v1.ResourceRequirements {
	made := v1.ResourceRequirements{Requests: v1.ResourceList{}, Limits: v1.ResourceList{}}
	for number, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory, v1.ResourceEphemeralStorage, "nvidia.com/gpu"}[:kinds] {
		unit := []string{"m", "Mi", "Mi", ""}[number]
		most := []int{2000, 2048, 512, 3}[number]
		request := 1 + chance.Intn(most)
		if chance.Intn(8) == 0 {
			request = 0 // stated, and nothing
		}
		switch chance.Intn(4) {
		case 0:
			made.Requests[name] = quantity(unit, request)
		case 1:
			made.Limits[name] = quantity(unit, request)
		case 2:
			made.Requests[name] = quantity(unit, request)
			made.Limits[name] = quantity(unit, request+chance.Intn(most))
		}
	}
	return &made
}

func quantity(unit string, amount int) resource.Quantity {
	return resource.MustParse(fmt.Sprintf("%d%s", amount, unit))
}
