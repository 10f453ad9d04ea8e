{{- define "hauberk.image" -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- end }}

{{- define "hauberk.labels" -}}
app.kubernetes.io/name: hauberk
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "hauberk.selector" -}}
app.kubernetes.io/name: hauberk
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hauberk.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "hauberk.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "hauberk.dns" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
      podSelector: {matchLabels: {k8s-app: kube-dns}}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}

{{/* In CEL: whether a container is hauberk and nothing else; torchrun starts it on several nodes. */}}
{{- define "hauberk.isOurs" -}}
one.image == '{{ include "hauberk.image" . }}' && has(one.command) && (one.command == ['hauberk']
|| (one.command == ['torchrun'] && has(one.args) && size(one.args) > 2 && one.args[0] == '-m' && one.args[1] == 'hauberk'))
{{- end }}
