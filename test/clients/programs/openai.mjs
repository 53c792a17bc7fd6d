// Reads nothing but the variables that the package itself reads.
import OpenAI from 'openai'

const client = new OpenAI()
const answer = await client.responses.create({ model: 'gpt-5.6', input: 'hello' })
let streamed = ''
for await (const event of await client.responses.create({ model: 'gpt-5.6', input: 'hello', stream: true })) {
  if (event.type === 'response.output_text.delta') streamed += event.delta
}
let chat = ''
for await (const chunk of await client.chat.completions.create({
  model: 'gpt-5.6',
  messages: [{ role: 'user', content: 'hello' }],
  stream: true,
})) {
  chat += chunk.choices[0]?.delta?.content ?? ''
}
const models = await client.models.list()
const echoes = []
for (const query of ['', '?coding=gzip', '?coding=br', '?coding=zstd', '?split=3', '?header=1'])
  echoes.push(await (await client.get(`/echo${query}`).asResponse()).text())
console.log(JSON.stringify({ answer: answer.output_text, streamed, chat, models: models.data.length, echoes }))
