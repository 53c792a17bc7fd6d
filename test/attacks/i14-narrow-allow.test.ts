import { expect } from 'vitest'
import { codeOf } from '../e2e/gateway/requests.ts'
import { attack, fronts } from './attack.ts'
import { usePlaces } from './place.ts'

const places = usePlaces()

attack(
  'I14',
  'a narrow allow never opens what a wider rule denies, in whichever grant it stands',
  fronts,
  async (front) => {
    const where = await places.place({ allow: ['*'], deny: ['* /repos/{owner}/{repo}/secrets/**'] })
    await places.stage.app.grants.add(
      {
        agentId: where.held.agentId,
        credentialId: where.held.credentialId,
        allow: ['GET /repos/me/mine/secrets/one'],
        deny: [],
        limits: {},
        expiresAt: null,
      },
      'test',
    )
    const before = places.upstream.got.length
    expect(codeOf(await places.ask(front, where, { target: '/repos/me/mine/secrets/one' }))).toBe('operation_denied')
    expect(places.upstream.got.length).toBe(before)
    expect((await places.ask(front, where, { target: '/repos/me/mine/issues' })).status).toBe(200)
  },
)
