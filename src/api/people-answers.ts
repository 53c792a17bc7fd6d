import { z } from 'zod'
import { roles } from '../identity/people.ts'

/** What the control API says of people; the rest of its answers is in `answers.ts`. */

const moment = z.int().nonnegative().describe('Milliseconds since the Unix epoch.')
const count = z.int().nonnegative()
const texts = z.array(z.string())

export const login = z
  .strictObject({
    token: z.string().describe('Once: it is not kept anywhere.'),
    name: z.string(),
    role: z.enum(roles),
    groups: texts,
    expiresAt: moment,
  })
  .describe('A person’s login as he receives it.')

export const me = z.strictObject({
  name: z.string(),
  role: z.enum(roles),
  groups: texts.describe('Whose agents and credentials the role is about; `*`: everything.'),
  owner: z.boolean().describe('Whether it is the owner of the home.'),
  login: z
    .strictObject({ id: z.string(), provenAt: moment, expiresAt: moment })
    .nullable()
    .describe('null: the socket.'),
})

export const loginSummary = z.strictObject({
  id: z.string(),
  name: z.string(),
  owner: z.boolean(),
  how: z.enum(['link', 'oidc']),
  createdAt: moment,
  expiresAt: moment,
})

export const person = z.strictObject({
  id: z.string(),
  name: z.string(),
  role: z.enum(roles),
  groups: texts,
  logins: count,
  createdAt: moment,
})

export const oidcBeginning = z
  .strictObject({
    issuer: z.string(),
    clientId: z.string(),
    scope: z.string(),
    nonce: z.string().describe('Has to stand in the ID token.'),
    authorizationEndpoint: z.string(),
    tokenEndpoint: z.string(),
    expiresAt: moment,
  })
  .describe('What a client needs for the authorization code flow with PKCE.')
