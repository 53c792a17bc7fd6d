import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createServer, type Server as Upstream } from 'node:http'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { filesUnder, openHouse, serviceYaml } from '../harness.ts'
import type { House, Outcome, Server } from '../harness.ts'
import { startPostgres, withoutPostgres } from '../postgres-server.ts'
import type { PostgresServer } from '../postgres-server.ts'

/** How long a state is waited for that comes by itself. */
const PATIENCE_MILLISECONDS = 20_000

/**
 * A whole Keyward on a real PostgreSQL: what SQLite's tests ask of the store, and what only a server can
 * do: refuse, vanish, come back, and be shared by several nodes.
 */
describe.skipIf(withoutPostgres)('keyward up on PostgreSQL', () => {
  let postgres: PostgresServer
  let house: House
  let server: Server
  let upstream: Upstream
  const key = `store-${randomBytes(24).toString('hex')}`
  const password = `pw@/:%?#${randomBytes(12).toString('hex')}`
  const reached: string[] = []
  let placeholder = ''
  let url = ''
  const variables = (at = url): { KEYWARD_DATABASE_URL: string } => ({ KEYWARD_DATABASE_URL: at })

  beforeAll(async () => {
    postgres = await startPostgres()
    await postgres.run(`CREATE ROLE keyward LOGIN PASSWORD '${password}'`)
    await postgres.run('CREATE DATABASE keyward OWNER keyward')
    url = postgres.url('keyward', { user: 'keyward', password: encodeURIComponent(password) })
    upstream = createServer((incoming, response) => {
      if (incoming.headers.authorization === `Bearer ${key}`) reached.push(incoming.url ?? '')
      response.end('done')
    })
    await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
    const address = upstream.address()
    house = openHouse()
    server = await house.up({ variables: variables() })
    house.write('one.yaml', serviceYaml('one', typeof address === 'object' && address !== null ? address.port : 0))
    await house.expectDone(['service', 'add', 'one.yaml'])
    await house.expectDone(['credential', 'add', 'first', '--service', 'one', '--stdin'], { input: key })
    await house.expectDone(['agent', 'add', 'ada'])
    await house.expectDone(['grant', 'add', '--agent', 'ada', '--credential', 'first', '--allow', '*'])
    const issued: { credentials: { fields: { text: string }[] }[] } = JSON.parse(
      await house.expectDone(['session', 'issue', '--agent', 'ada', '--ttl', '12h', '--json']),
    )
    placeholder = issued.credentials[0]?.fields[0]?.text ?? ''
  })

  afterAll(async () => {
    await house.close()
    upstream.close()
    upstream.closeAllConnections()
    await postgres.close()
  })

  /** Status and text of one request with the placeholder. */
  async function ask(path: string): Promise<{ status: number; text: string }> {
    const answer = await fetch(`http://127.0.0.1:${server.port}/s/one${path}`, {
      headers: { authorization: `Bearer ${placeholder}` },
    })
    return { status: answer.status, text: await answer.text() }
  }

  /** Asks until it is answered by `status`; gives the last answer. */
  async function askUntil(status: number, path: string): Promise<{ status: number; text: string }> {
    const deadline = Date.now() + PATIENCE_MILLISECONDS
    for (;;) {
      const answer = await ask(path)
      if (answer.status === status || Date.now() > deadline) return answer
      await wait(100)
    }
  }

  function expectRefusal({ code, out, err }: Outcome, title: string): void {
    expect({ code, out }, err).toEqual({ code: 1, out: '' })
    expect(err).toContain(title)
    expect(err).toMatch(/^next: \S/m)
    expect(err).not.toContain(password)
  }

  test('a request is carried, and status names the database without its password', async () => {
    expect(await askUntil(200, '/a')).toEqual({ status: 200, text: 'done' })
    expect(reached).toEqual(['/a'])
    expect(existsSync(join(house.home, 'keyward.db'))).toBe(false)
    const shown = `postgres://keyward@127.0.0.1:${postgres.port}/keyward`
    expect(await house.expectDone(['status'])).toContain(shown)
    for (const more of [[], ['--json']]) {
      const settings = await house.expectDone(['config', 'show', ...more], { variables: variables() })
      expect(settings).toContain(shown)
      expect(settings).not.toContain(encodeURIComponent(password))
    }
  })

  test('doctor names the database, and that its password is in the server’s variables', async () => {
    // Without the variable: it is the server that is asked.
    const { out } = await house.keyward(['doctor', '--json'])
    const findings = JSON.stringify(JSON.parse(out))
    expect(findings).toContain(`postgres://keyward@127.0.0.1:${postgres.port}/keyward`)
    expect(findings).toContain('the server’s variables hold the password of its database')
  })

  test('what was stored is sealed', async () => {
    const rows = await postgres.run("SELECT encode(body, 'escape') AS body FROM record", postgres.url('keyward'))
    expect(rows.length).toBeGreaterThan(10)
    expect(JSON.stringify(rows)).not.toContain(key)
    expect(JSON.stringify(rows)).not.toContain(placeholder)
  })

  test('after a stop and after a kill it goes on where it was', async () => {
    await server.stop()
    server = await house.up({ variables: variables() })
    expect(await askUntil(200, '/b')).toEqual({ status: 200, text: 'done' })
    await house.expectDone(['agent', 'add', 'bob'])
    await server.kill('SIGKILL')
    server = await house.up({ variables: variables() })
    expect(await askUntil(200, '/c')).toEqual({ status: 200, text: 'done' })
    expect(await house.expectDone(['agent', 'list'])).toContain('bob')
    expect(reached).toEqual(['/a', '/b', '/c'])
  })

  test('a second Keyward is refused on this home, and under this name, and the first goes on', async () => {
    expectRefusal(await house.keyward(['up'], { variables: variables() }), 'Another Keyward serves this home.')
    const second = { variables: { ...variables(), KEYWARD_HOME: join(house.userHome, 'elsewhere') } }
    expectRefusal(await house.keyward(['up'], second), 'Another node of this name uses the database.')
    expect(await askUntil(200, '/d')).toEqual({ status: 200, text: 'done' })
    await house.expectDone(['agent', 'suspend', 'bob'])
  })

  describe('two nodes', () => {
    let other: House
    let node: Server
    const nodeVariables = () => ({
      ...variables(),
      KEYWARD_NODE: 'node-2',
      KEYWARD_ROOT_KEY_FILE: house.rootKeyFile,
    })
    beforeAll(async () => {
      other = openHouse()
      node = await other.up({ variables: nodeVariables() })
    })
    afterAll(() => other.close())

    /** Asks the second node. */
    async function askOther(path: string): Promise<{ status: number; text: string }> {
      const answer = await fetch(`http://127.0.0.1:${node.port}/s/one${path}`, {
        headers: { authorization: `Bearer ${placeholder}` },
      })
      return { status: answer.status, text: await answer.text() }
    }
    async function otherUntil(status: number): Promise<{ code?: string }> {
      const deadline = Date.now() + PATIENCE_MILLISECONDS
      for (;;) {
        const answer = await askOther('/other')
        if (answer.status === status) return status === 200 ? {} : JSON.parse(answer.text)
        if (Date.now() > deadline) throw new Error(`the second node answers ${answer.status}: ${answer.text}`)
        await wait(20)
      }
    }

    test('a session of one is good at the other, and a suspension at one bites at the other', async () => {
      await otherUntil(200)
      await house.expectDone(['credential', 'suspend', 'first'])
      expect(await otherUntil(403)).toMatchObject({ code: 'credential_suspended' })
      await other.expectDone(['credential', 'resume', 'first'])
      expect((await askUntil(200, '/e')).status).toBe(200)
      await house.expectDone(['agent', 'suspend', 'ada'])
      expect(await otherUntil(403)).toMatchObject({ code: 'agent_suspended' })
      await other.expectDone(['agent', 'resume', 'ada'])
      await otherUntil(200)
    })

    test('promise 8: a suspension bites on the other node within a second of being acknowledged', async () => {
      const client = house.client()
      const names = { environment: 'dev', name: 'first' }
      for (let round = 0; round < 3; round += 1) {
        await client.call('POST /environments/:environment/credentials/:name/suspend', names, {})
        await wait(1_000)
        const before = reached.length
        expect(await askOther('/late')).toMatchObject({ status: 403 })
        expect(reached).toHaveLength(before)
        await client.call('POST /environments/:environment/credentials/:name/resume', names, {})
        await otherUntil(200)
      }
    })

    test('promise 8: a node that slept through a suspension does not act on what it knew', async () => {
      process.kill(node.pid, 'SIGSTOP')
      const names = { environment: 'dev', name: 'first' }
      await house.client().call('POST /environments/:environment/credentials/:name/suspend', names, {})
      await wait(1_200)
      const before = reached.length
      // The node cannot look, either, when it wakes.
      const lock = postgres.run(
        'BEGIN; LOCK TABLE keyward IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT',
        postgres.url('keyward'),
      )
      const asked = askOther('/asleep')
      await wait(100)
      process.kill(node.pid, 'SIGCONT')
      const answer = await asked
      expect(answer.status).toBe(503)
      expect(JSON.parse(answer.text)).toMatchObject({ code: 'lease_lost' })
      await lock
      expect(reached).toHaveLength(before)
      await house.client().call('POST /environments/:environment/credentials/:name/resume', names, {})
      await otherUntil(200)
    })

    test('both change at once: every change is made, and both know all of them', async () => {
      const names = Array.from({ length: 12 }, (_, index) => index)
      const clients = [house.client(), other.client()] as const
      await Promise.all(
        clients.flatMap((client, at) =>
          names.map((index) =>
            client.call(
              'POST /environments/:environment/agents',
              { environment: 'dev' },
              { name: `both-${at}-${index}` },
            ),
          ),
        ),
      )
      const taken = await Promise.allSettled(
        clients.map((client) =>
          client.call('POST /environments/:environment/agents', { environment: 'dev' }, { name: 'only-one' }),
        ),
      )
      expect(taken.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
      await wait(600)
      for (const client of clients) {
        const found = (await client.call('GET /agents', {}, {})).map(({ name }) => name)
        expect(found.filter((name) => name.startsWith('both-'))).toHaveLength(2 * names.length)
        expect(found.filter((name) => name === 'only-one')).toHaveLength(1)
      }
    })

    test('a run on one is not taken for dead by the other, and its session is not taken there', async () => {
      const script = 'echo "$ONE_API_KEY" > held; until [ -e done ]; do sleep 0.1; done'
      const running = house.keyward(['run', '--agent', 'ada', '--contain', 'none', '--', 'sh', '-c', script])
      const file = join(house.work, 'held')
      for (let tries = 0; tries < 200 && !(existsSync(file) && readFileSync(file, 'utf8').length > 20); tries += 1)
        await wait(100)
      // More than one of the other node's looks for processes that are gone.
      await wait(2_500)
      const bound = (await other.client().call('GET /sessions', {}, {})).filter(
        ({ binding, state }) => binding.kind === 'process' && state === 'active',
      )
      expect(bound).toHaveLength(1)
      const held = readFileSync(file, 'utf8').trim()
      expect(held.length).toBeGreaterThan(20)
      const answer = await fetch(`http://127.0.0.1:${node.port}/s/one/stolen`, {
        headers: { authorization: `Bearer ${held}` },
      })
      expect(await answer.json()).toMatchObject({ code: 'session_elsewhere' })
      expect(reached).not.toContain('/stolen')
      house.write('done', '')
      expect((await running).code).toBe(0)
    })

    test('a question of one node is answered at the other; an answer whose request died with its node lets nothing pass', async () => {
      const made: { id: string } = JSON.parse(
        await house.expectDone(
          ['grant', 'add', '--agent', 'ada', '--credential', 'first', '--allow', 'POST /asked/**'].concat(
            '--approve',
            'always',
            '--json',
          ),
        ),
      )
      await wait(600)
      const post = (port: number, path: string): Promise<number> =>
        fetch(`http://127.0.0.1:${port}/s/one${path}`, {
          method: 'POST',
          headers: { authorization: `Bearer ${placeholder}` },
          body: 'the body that stays where it is',
        }).then(
          ({ status }) => status,
          () => 0,
        )
      const waiting = async (at: House, path: string): Promise<string> => {
        let found: string | undefined
        await expect
          .poll(
            async () => {
              const listed = await at.client().call('GET /approvals', {}, {})
              found = listed.find(({ target, state }) => target === path && state === 'pending')?.id
              return found
            },
            { timeout: PATIENCE_MILLISECONDS },
          )
          .toBeDefined()
        return found ?? ''
      }

      const asking = post(server.port, '/asked/once')
      const id = await waiting(other, '/asked/once')
      const shown = await other.client().call('GET /approvals/:id', { id }, {})
      expect(shown).toMatchObject({ agent: 'ada', method: 'POST', body: { text: 'the body that stays where it is' } })
      await other.client().call('POST /approvals/:id/accept', { id }, {})
      expect(await asking).toBe(200)
      expect(reached.filter((path) => path === '/asked/once')).toHaveLength(1)
      await expect(other.client().call('POST /approvals/:id/accept', { id }, {})).rejects.toThrow()

      const lost = post(node.port, '/asked/lost')
      const left = await waiting(house, '/asked/lost')
      await node.kill('SIGKILL')
      expect(await lost).toBe(0)
      await house.client().call('POST /approvals/:id/accept', { id: left }, {})
      node = await other.up({ variables: nodeVariables() })
      const again = post(node.port, '/asked/lost')
      const anew = await waiting(house, '/asked/lost')
      expect(anew).not.toBe(left)
      expect(reached).not.toContain('/asked/lost')
      await house.client().call('POST /approvals/:id/refuse', { id: anew }, {})
      expect(await again).toBe(403)
      await house.expectDone(['grant', 'remove', made.id])
    })

    test('one dies, the other goes on, and the dead one comes back', async () => {
      await node.kill('SIGKILL')
      await house.expectDone(['agent', 'add', 'while-away'])
      node = await other.up({ variables: nodeVariables() })
      expect(await other.expectDone(['agent', 'list'])).toContain('while-away')
      await other.expectDone(['agent', 'suspend', 'while-away'])
      await otherUntil(200)
      await server.stop()
      await otherUntil(200)
      server = await house.up({ variables: variables() })
      expect((await askUntil(200, '/f')).status).toBe(200)
    })

    test('a node that only followed is an anchor too: it refuses a database that is put back to before', async () => {
      const at = postgres.url('keyward')
      const copy = (name: string): string =>
        `CREATE SCHEMA ${name}; CREATE TABLE ${name}.record AS TABLE public.record; CREATE TABLE ${name}.keyward AS TABLE public.keyward`
      const putBack = (name: string): string =>
        `BEGIN; DELETE FROM public.record; INSERT INTO public.record TABLE ${name}.record;
         UPDATE public.keyward SET epoch = old.epoch FROM ${name}.keyward AS old; COMMIT`
      await postgres.run(copy('before'), at)
      await house.expectDone(['agent', 'add', 'seen-by-both'])
      await wait(600)
      await node.kill('SIGKILL')
      await postgres.run(copy('after'), at)
      await postgres.run(putBack('before'), at)
      expectRefusal(
        await other.keyward(['up'], { variables: nodeVariables() }),
        'The store is older than the journal says.',
      )
      expect((await askUntil(503, '/back-then')).status).toBe(503)
      await postgres.run(putBack('after'), at)
      expect((await askUntil(200, '/and-now')).status).toBe(200)
      await postgres.run('DROP SCHEMA before CASCADE; DROP SCHEMA after CASCADE', at)
      node = await other.up({ variables: nodeVariables() })
      await otherUntil(200)
    })

    test('a row that is changed while both run is refused at the next change that touches it, and fails closed', async () => {
      const at = postgres.url('keyward')
      await postgres.run(
        `CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF NEW.tbl = 'agent' THEN NEW.body = replace(convert_from(NEW.body, 'UTF8'), 'suspended', 'active')::bytea; END IF;
           RETURN NEW; END $$;
         CREATE TRIGGER meddle BEFORE INSERT ON public.record FOR EACH ROW EXECUTE FUNCTION public.meddle()`,
        at,
      )
      // The suspension is stored as none: the node that made it knows better, the other must not believe it.
      await house.expectDone(['agent', 'suspend', 'while-away'])
      await house.expectDone(['agent', 'suspend', 'ada'])
      await postgres.run('DROP TRIGGER meddle ON public.record; DROP FUNCTION public.meddle()', at)
      expect(await otherUntil(503)).toMatchObject({ code: 'lease_lost' })
      expect((await ask('/g')).status).toBe(403)
      // Written again, it is sound.
      await house.expectDone(['agent', 'resume', 'ada'])
      await house.expectDone(['agent', 'resume', 'while-away'])
      await otherUntil(200)
      await node.stop()
    })
  })

  test('while the database is gone no credential leaves and no change is taken; when it is back, both do', async () => {
    await postgres.stop('immediate')
    const refused = await askUntil(503, '/gone')
    expect(refused.status).toBe(503)
    expect(JSON.parse(refused.text)).toMatchObject({ code: 'lease_lost' })
    const before = reached.length
    expect((await ask('/gone')).status).toBe(503)
    expect(reached.length).toBe(before)
    expectRefusal(await house.keyward(['agent', 'resume', 'bob']), 'The database server does not answer')
    await postgres.start()
    expect(await askUntil(200, '/back')).toEqual({ status: 200, text: 'done' })
    await house.expectDone(['agent', 'resume', 'bob'])
  })

  test('a home that is served on PostgreSQL is not begun anew without it', async () => {
    await server.stop()
    const { code, err } = await house.keyward(['up'])
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining('set KEYWARD_DATABASE_URL') })
    expect(existsSync(join(house.home, 'keyward.db'))).toBe(false)
    expect((await house.keyward(['journal', 'verify'], { variables: variables() })).code).toBe(0)
  })

  test.each([
    ['edited', "UPDATE record SET body = body || ' ' WHERE tbl = 'grant'"],
    ['deleted', "DELETE FROM record WHERE tbl = 'agent'"],
    ['added', "INSERT INTO record SELECT tbl, id || 'x', seq, body, mac FROM record WHERE tbl = 'grant' LIMIT 1"],
    ['replayed', "UPDATE record SET seq = seq - 1 WHERE tbl = 'agent'"],
    ['counted back', 'UPDATE keyward SET epoch = epoch - 1'],
  ])('a row that was %s is refused by name', async (_what, sql) => {
    const at = postgres.url('keyward')
    await postgres.run('CREATE TABLE public.kept_record AS TABLE record; CREATE TABLE public.kept AS TABLE keyward', at)
    await postgres.run(sql, at)
    expectRefusal(
      await house.keyward(['up'], { variables: variables() }),
      'A record was changed behind Keyward’s back.',
    )
    await postgres.run(
      'DELETE FROM record; INSERT INTO record TABLE kept_record; DELETE FROM keyward; INSERT INTO keyward TABLE kept; DROP TABLE kept_record, kept',
      at,
    )
  })

  test('a node whose journal was taken away is refused, though others have committed since', async () => {
    const journal = join(house.home, 'journal', 'node-1')
    renameSync(journal, `${journal}-kept`)
    const outcome = await house.keyward(['up'], { variables: variables() })
    expectRefusal(outcome, 'The journal is older than a head of it that was kept elsewhere')
    rmSync(journal, { recursive: true, force: true })
    renameSync(`${journal}-kept`, journal)
  })

  test('the whole database put back to an earlier day is refused', async () => {
    const at = postgres.url('keyward')
    await postgres.run('CREATE TABLE public.kept_record AS TABLE record; CREATE TABLE public.kept AS TABLE keyward', at)
    server = await house.up({ variables: variables() })
    await house.expectDone(['agent', 'suspend', 'bob'])
    await server.stop()
    await postgres.run(
      'DELETE FROM record; INSERT INTO record TABLE kept_record; UPDATE keyward SET epoch = kept.epoch FROM kept',
      at,
    )
    expectRefusal(await house.keyward(['up'], { variables: variables() }), 'The store is older than the journal says.')
  })

  test('a wrong password, a database of somebody else and a server that is gone are told apart', async () => {
    const other = { KEYWARD_HOME: join(house.userHome, 'other') }
    const wrong = postgres.url('keyward', { user: 'keyward', password: 'not-this-one' })
    const refused = await house.keyward(['up'], { variables: { ...variables(wrong), ...other } })
    expectRefusal(refused, 'It refuses the password.')
    expect(refused.err).not.toContain('not-this-one')
    const foreign = await postgres.database()
    await postgres.run('CREATE TABLE notes (text text)', foreign)
    expectRefusal(
      await house.keyward(['up'], { variables: { ...variables(foreign), ...other } }),
      'belongs to something else',
    )
    await postgres.stop()
    expectRefusal(await house.keyward(['up'], { variables: { ...variables(), ...other } }), 'ECONNREFUSED')
  })

  test('the password of the database stands in nothing that any of this wrote', () => {
    const written = [
      ...house.outputs.map(({ command, bytes }) => ({ path: command, bytes })),
      ...filesUnder(house.folder),
    ]
    expect(written.length).toBeGreaterThan(20)
    for (const form of [password, encodeURIComponent(password), Buffer.from(password).toString('base64')])
      expect(written.filter(({ bytes }) => bytes.includes(form)).map(({ path }) => path)).toEqual([])
  })
})
