import { readFileSync } from 'node:fs'
import { ProxyAgent, request } from 'undici'

const { H2_HOST, H2_CA, H2_KEY, https_proxy: proxy } = process.env
const { username, password, origin } = new URL(proxy)
const dispatcher = new ProxyAgent({
  uri: origin,
  token: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`,
  allowH2: true,
  requestTls: { ca: readFileSync(H2_CA), allowH2: true },
})
const answer = await request(`https://${H2_HOST}/echo`, {
  dispatcher,
  method: 'POST',
  body: 'hello',
  headers: { authorization: `Bearer ${H2_KEY}` },
})
console.log(await answer.body.text())
await dispatcher.close()
