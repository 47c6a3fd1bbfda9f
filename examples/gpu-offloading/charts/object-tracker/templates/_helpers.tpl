{{- define "app.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
{{- end }}

{{- define "app.labels" -}}
{{ include "app.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /*
Where the service runs. An empty list must never reach a policy: `clusterNames`
without entries is no restriction, and Karmada would run the service everywhere.
*/}}
{{- define "app.clusters" -}}
{{- if not .Values.clustersAffinity -}}
{{- fail (printf "%s: clustersAffinity is empty; name the cluster to run in" .Chart.Name) -}}
{{- end -}}
{{- toYaml .Values.clustersAffinity -}}
{{- end }}
