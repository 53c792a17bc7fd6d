{{- define "keyward.name" -}}
{{- printf "%s-keyward" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "keyward.labels" -}}
app.kubernetes.io/name: keyward
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "keyward.selector" -}}
app.kubernetes.io/name: keyward
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "keyward.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "keyward.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities: { drop: [ALL] }
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{/* Secrets come as files that a group may read, and Keyward takes a key from its owner alone: they are copied into memory. */}}
{{- define "keyward.copySecrets" -}}
name: copy-secrets
image: {{ include "keyward.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [/bin/sh, -ec]
args:
  - install -m 0600 /secrets/database/url /run/keyward/database-url;
    install -m 0600 /secrets/root-key/key /run/keyward/root-key;
    install -m 0600 /secrets/tls/tls.key /run/keyward/tls.key
securityContext: {{- include "keyward.security" . | nindent 2 }}
resources:
  requests: { cpu: 10m, memory: 16Mi }
  limits: { memory: 64Mi }
volumeMounts:
  - { name: run, mountPath: /run/keyward }
  - { name: database, mountPath: /secrets/database, readOnly: true }
  - { name: root-key, mountPath: /secrets/root-key, readOnly: true }
  - { name: tls, mountPath: /secrets/tls, readOnly: true }
{{- end -}}

{{- define "keyward.secretVolumes" -}}
- name: run
  emptyDir: { medium: Memory, sizeLimit: 1Mi }
- name: database
  secret: { secretName: {{ .Values.secrets.database }}, defaultMode: 0440 }
- name: root-key
  secret: { secretName: {{ .Values.secrets.rootKey }}, defaultMode: 0440 }
- name: tls
  secret: { secretName: {{ .Values.secrets.tls }}, defaultMode: 0440 }
- name: tmp
  emptyDir: { sizeLimit: 64Mi }
- name: settings
  configMap: { name: {{ include "keyward.name" . }} }
{{- end -}}

{{/* One node. The gateway is on loopback: what uses it runs in the same pod. */}}
{{- define "keyward.node" -}}
name: keyward
image: {{ include "keyward.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [up, --config, /etc/keyward/keyward.yaml]
env:
  - name: KEYWARD_NODE
    valueFrom: { fieldRef: { fieldPath: metadata.name } }
  - { name: KEYWARD_DATABASE_URL_FILE, value: /run/keyward/database-url }
ports:
  - { name: control, containerPort: 7070 }
  - { name: monitor, containerPort: 7072 }
livenessProbe:
  httpGet: { path: /healthz, port: monitor }
  periodSeconds: 10
readinessProbe:
  httpGet: { path: /readyz, port: monitor }
  periodSeconds: 2
startupProbe:
  httpGet: { path: /healthz, port: monitor }
  periodSeconds: 1
  failureThreshold: 60
resources: {{- toYaml .Values.resources | nindent 2 }}
securityContext: {{- include "keyward.security" . | nindent 2 }}
volumeMounts:
  - { name: home, mountPath: /var/lib/keyward }
  - { name: run, mountPath: /run/keyward, readOnly: true }
  - { name: tls, mountPath: /secrets/tls, readOnly: true }
  - { name: settings, mountPath: /etc/keyward, readOnly: true }
  - { name: tmp, mountPath: /tmp }
{{- end -}}
