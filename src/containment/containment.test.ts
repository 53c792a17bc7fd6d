import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { platformFacts } from './platform.ts'
import {
  asRoot,
  attackFromInside,
  base,
  excusedUncontained,
  expectedIn,
  node,
  ordinary,
  removeTrial,
  runTrial,
  skipped,
} from './trial/ordinary-user.ts'

afterAll(removeTrial)

/** Runs a shell line that has the four words of the trial's own command as A to D in a terminal of its own. */
const inTerminal = (line: string): string =>
  `export SHELL=/bin/sh A="$1" B="$2" C="$3" D="$4"; exec script -qec '${line}' /dev/null`

describe.skipIf(skipped !== '')('an agent run by an ordinary user', () => {
  test('reaches nearly everything when it is not contained (so the attempts are real)', async () => {
    const { closed } = await attackFromInside('none')
    expect(closed.filter((name) => !excusedUncontained.includes(name))).toEqual([])
  })

  test.each(['files', 'full'] as const)('reaches nothing that is promised under %s', async (mode) => {
    const { open, said, identity } = await attackFromInside(mode)
    const { must, may } = expectedIn(mode)
    expect(open.filter((name) => !may.includes(name))).toEqual(must)
    expect(said).toBe('')
    expect(identity).toBe(asRoot ? `${ordinary}:${ordinary}` : `${process.getuid?.()}:${process.getgid?.()}`)
  })

  test('leaves nothing behind', () => {
    const left = readdirSync(join(base, 'tmp'), { recursive: true })
    expect(left).toEqual([expect.stringMatching(/^keyward-\d+$/)])
  })

  test('does not inherit open descriptors, low or high', async () => {
    const opened = 'printf secret > work/opened; exec 5<work/opened 9<work/opened; exec "$@"'
    const listing = ['sh', '-c', 'for f in /proc/self/fd/*; do readlink "$f"; done']
    const contained = await runTrial({ mode: 'files', command: listing, under: opened })
    expect(contained.out).not.toContain('opened')
    const bash = await runTrial({
      mode: 'files',
      command: listing,
      under: `exec bash -c 'exec 77<work/opened; exec "$@"' bash "$@"`,
    })
    expect(bash.out).not.toContain('opened')
  })

  describe.each(['files', 'full'] as const)('%s', (mode) => {
    test.each([0, 1, 7, 124, 255])('passes exit status %i', async (code) => {
      expect(await runTrial({ mode, command: ['sh', '-c', `exit ${code}`] })).toMatchObject({ code, err: '' })
    })

    test.each([
      ['TERM', 143],
      ['KILL', 137],
      ['INT', 130],
      ['SEGV', 139],
    ])('tells a death by SIG%s as 128 + n', async (signal, code) => {
      expect(await runTrial({ mode, command: ['sh', '-c', `kill -${signal} $$`] })).toMatchObject({ code, err: '' })
    })

    test('says 127 for a command that does not exist', async () => {
      expect(await runTrial({ mode, command: ['no-such-command'] })).toMatchObject({ code: 127 })
    })

    test('passes standard input on', async () => {
      const input = 'x'.repeat(200_000)
      expect((await runTrial({ mode, command: ['wc', '-c'], input })).out.trim()).toBe(String(input.length))
    })

    test.each(['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGUSR2'] as const)('passes %s on to the agent', async (signal) => {
      const name = signal.slice(3)
      let sent = false
      const script = `trap 'echo got; exit 9' ${name}; echo ready; while :; do sleep 0.05; done`
      const ended = await runTrial({
        mode,
        command: ['sh', '-c', script],
        onOutput: (out, id) => {
          if (sent || !out.includes('ready')) return
          sent = true
          process.kill(id, signal)
        },
      })
      expect(ended).toMatchObject({ code: 9, out: 'ready\ngot\n' })
    })

    test.each(['server', 'launcher'])('takes everything down when the %s is killed', async (victim) => {
      const mark = `sleep-${randomUUID()}`
      let launcher = 0
      let sent = false
      await runTrial({
        mode,
        command: ['sh', '-c', `setsid sh -c 'sleep 60; : ${mark}' & echo ready; sleep 60; : ${mark}`],
        onError: (text) => (launcher = Number(/launcher (\d+)/.exec(text)?.[1] ?? 0)),
        onOutput: (_, id) => {
          if (sent) return
          sent = true
          process.kill(victim === 'server' ? id : launcher, 'SIGKILL')
        },
      })
      await expect.poll(() => spawnSync('pgrep', ['-f', mark], { encoding: 'utf8' }).stdout, { timeout: 5000 }).toBe('')
    })
  })

  test('carries data both ways through the only way out', async () => {
    const { out } = await runTrial({
      mode: 'full',
      command: [node, '-e', 'fetch(process.env.GATEWAY + "/x").then(async (a) => console.log(await a.text()))'],
    })
    expect(out).toBe('gateway /x\n')
  })

  test.skipIf(!existsSync('/usr/bin/script') || !existsSync('/usr/bin/perl'))(
    'a program can type into its terminal exactly where that is said',
    async () => {
      // TIOCSTI, see ioctl_tty(2).
      const script = 'my $key = "x"; print ioctl(STDIN, 0x5412, $key) ? "typed" : "refused", "\\n"'
      const { out } = await runTrial({
        mode: 'files',
        command: ['perl', '-e', script],
        under: inTerminal('exec "$A" "$B" "$C" "$D"'),
      })
      expect(out).toContain(platformFacts().terminalInjection ? 'typed' : 'refused')
    },
  )

  test.skipIf(!existsSync('/usr/bin/script'))('keeps the terminal: size, job control and Ctrl-C', async () => {
    const script = `trap 'echo caught' INT; test -t 0 && test -t 1 && stty size; : </dev/tty && echo controlled; echo ready; while ! read line; do :; done; echo "line $line"; exit 3`
    let stage = 0
    const { out, code } = await runTrial({
      mode: 'files',
      command: ['sh', '-c', script],
      under: inTerminal('stty cols 91; exec "$A" "$B" "$C" "$D"'),
      onOutput: (out, _, input) => {
        if (stage === 0 && out.includes('ready')) {
          stage = 1
          input.write('\u0003')
        } else if (stage === 1 && out.includes('caught')) {
          stage = 2
          input.write('hello\n')
        }
      },
    })
    expect(out).toMatch(/\d+ 91\r\ncontrolled\r\nready/)
    expect(out.match(/^.*caught\r$/gm)).toHaveLength(1)
    expect(out).toContain('line hello')
    expect(code).toBe(3)
  })
})
