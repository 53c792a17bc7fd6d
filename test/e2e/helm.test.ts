import { spawnSync } from 'node:child_process'
import process from 'node:process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'

/**
 * The chart, by helm itself and by Kubernetes' own types. `KEYWARD_TEST_HELM` is a folder with `helm` and with the
 * reader of `test/helm`; where there is none the tests are skipped.
 */
const tools = process.env['KEYWARD_TEST_HELM'] ?? ''
const chart = join(import.meta.dirname, '../../deploy/helm/keyward')

const everything = [
  'networkPolicy.controlFrom[0].podSelector.matchLabels.app=admin',
  'networkPolicy.monitorFrom[0].namespaceSelector.matchLabels.name=monitoring',
  'serviceMonitor.enabled=true',
  'example.enabled=true',
  'journal.storageClassName=fast',
  `image.digest=sha256:${'0'.repeat(64)}`,
  'settings.strictJournal=true',
].flatMap((value) => ['--set', value])
const sets: readonly [string, readonly string[]][] = [
  ['as it is', []],
  ['with everything', everything],
  ['with one node and no policy of the network', ['--set', 'replicas=1', '--set', 'networkPolicy.enabled=false']],
]

function helm(...args: readonly string[]) {
  return spawnSync(join(tools, 'helm'), args, { encoding: 'utf8' })
}

const container = z.looseObject({
  name: z.string(),
  securityContext: z.looseObject({}),
  volumeMounts: z.array(z.looseObject({ name: z.string() })).optional(),
  env: z.array(z.looseObject({ name: z.string() })).optional(),
})
const pod = z.looseObject({
  automountServiceAccountToken: z.boolean(),
  initContainers: z.array(container),
  containers: z.array(container),
})
const workload = z.looseObject({ kind: z.string(), spec: z.looseObject({ template: z.looseObject({ spec: pod }) }) })

/** The objects that Kubernetes would read. */
function rendered(args: readonly string[]): unknown[] {
  const text = helm('template', 'test', chart, '--kube-version', '1.31.0', ...args)
  expect(text.stderr).toBe('')
  const read = spawnSync(join(tools, 'manifests'), { input: text.stdout, encoding: 'utf8' })
  expect(read.stderr).toBe('')
  return read.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}

test.skipIf(tools === '')('helm finds nothing wrong with the chart', () => {
  const told = helm('lint', '--strict', chart)
  expect(told.status, told.stdout).toBe(0)
})

test.skipIf(tools === '').each(sets)('%s it renders to what Kubernetes reads, and runs without rights', (_, args) => {
  const objects = rendered(args)
  const workloads = objects.flatMap((one) => workload.safeParse(one).data ?? [])
  expect(workloads.map(({ kind }) => kind)).toContain('StatefulSet')
  for (const { spec } of workloads) {
    const { automountServiceAccountToken, initContainers, containers } = spec.template.spec
    expect(automountServiceAccountToken).toBe(false)
    for (const one of [...initContainers, ...containers]) {
      expect(one.securityContext).toMatchObject({
        allowPrivilegeEscalation: false,
        runAsNonRoot: true,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'RuntimeDefault' },
      })
      if (one.name !== 'agent')
        expect(one.securityContext).toMatchObject({ readOnlyRootFilesystem: true, runAsUser: 65532 })
      // No secret is a variable: those are seen by whoever may look at the pod.
      for (const variable of one.env ?? []) expect(variable).not.toHaveProperty('valueFrom.secretKeyRef')
    }
  }
})

test.skipIf(tools === '')('the agent of the example sees none of the secrets, and is another user', () => {
  const agent = rendered(everything)
    .flatMap((one) => workload.safeParse(one).data ?? [])
    .filter(({ kind }) => kind === 'Deployment')
    .flatMap(({ spec }) => spec.template.spec.containers)
  expect(agent).toHaveLength(1)
  expect(agent[0]?.volumeMounts ?? []).toEqual([])
  expect(agent[0]?.securityContext).not.toMatchObject({ runAsUser: 65532 })
})

test
  .skipIf(tools === '')
  .each([
    ['replicas=0'],
    ['secrets.database=Not A Name'],
    ['image.digest=latest'],
    ['unknown=1'],
    ['example.uid=65532'],
  ])('a value that cannot be meant is refused: %s', (value) => {
  expect(helm('template', 'test', chart, '--kube-version', '1.31.0', '--set', value).status).not.toBe(0)
})
