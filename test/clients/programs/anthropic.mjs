import Anthropic from '@anthropic-ai/sdk'

const client = new Anthropic()
const question = { model: 'claude-sonnet-5', max_tokens: 64, messages: [{ role: 'user', content: 'hello' }] }
const answer = await client.messages.create(question)
const streamed = await client.messages.stream(question).finalText()
const models = await client.models.list()
const echoes = []
for (const query of [
  '',
  '?coding=gzip',
  '?form=base64',
  '?form=base64&shift=1',
  '?form=base64url&shift=2',
  '?form=hex',
])
  echoes.push(await (await client.get(`/v1/echo${query}`).asResponse()).text())
console.log(JSON.stringify({ answer: answer.content[0].text, streamed, models: models.data.length, echoes }))
