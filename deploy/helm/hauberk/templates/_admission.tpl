{{/* What both engines hold pods to, in CEL. A ValidatingAdmissionPolicy and a rule of Kyverno name the same parts alike. */}}

{{- define "hauberk.signed.variables" -}}
- name: notes
  expression: "has(object.metadata.annotations) ? object.metadata.annotations : {}"
- name: digest
  expression: "'hauberk.dev/digest' in variables.notes ? variables.notes['hauberk.dev/digest'] : ''"
- name: signed
  expression: "has(params.data) ? params.data : {}"
{{- end }}

{{- define "hauberk.signed.conditions" -}}
- name: serves
  expression: >-
    has(object.metadata.labels) && (
    {{- if .Values.admission.onlySigned }}'serving.kserve.io/inferenceservice' in object.metadata.labels || {{ end -}}
    ('hauberk.dev/shield' in object.metadata.labels
    && !('hauberk.dev/job' in object.metadata.labels)
    && !('app.kubernetes.io/component' in object.metadata.labels)))
# What runs already may be labelled and annotated, but not become another program.
- name: changes
  expression: "request.operation == 'CREATE' || object.spec != oldObject.spec"
{{- end }}

{{- define "hauberk.signed.validations" -}}
- expression: >-
    variables.digest.matches('^sha256:[0-9a-f]{64}$')
    && variables.signed.exists(shield, variables.signed[shield].contains(variables.digest))
  message: This model is not signed, or its signature was taken back; hauberk verify tells why.
  reason: Forbidden
- expression: >-
    object.spec.containers.exists(one, one.image == '{{ include "hauberk.image" . }}'
    && has(one.command) && one.command == ['hauberk'])
  message: A protected model is served by the gateway of this release alone.
  reason: Forbidden
{{- end }}

{{- define "hauberk.state.variables" -}}
- name: volumes
  expression: >-
    has(object.spec.volumes) ? object.spec.volumes.filter(one, has(one.persistentVolumeClaim)
    && one.persistentVolumeClaim.claimName == '{{ .Values.state.claim }}').map(one, one.name) : []
- name: containers
  expression: >-
    object.spec.containers
    + (has(object.spec.initContainers) ? object.spec.initContainers : [])
    + (has(object.spec.ephemeralContainers) ? object.spec.ephemeralContainers : [])
{{- end }}

{{- define "hauberk.state.validations" -}}
- expression: >-
    variables.containers.all(one, !has(one.volumeMounts)
    || !one.volumeMounts.exists(mount, mount.name in variables.volumes)
    || ({{ include "hauberk.isOurs" . | nindent 4 | trim }}))
  message: Only hauberk itself mounts the volume {{ .Values.state.claim }}.
  reason: Forbidden
- expression: "size(variables.volumes) == 0 || !has(object.spec.hostPID) || !object.spec.hostPID"
  message: A pod with this volume shares no processes with its node.
  reason: Forbidden
{{- end }}
