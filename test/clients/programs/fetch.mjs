const headers = { authorization: `Bearer ${process.env.OPENAI_API_KEY}`, 'content-type': 'application/json' }
const answer = await fetch('https://api.openai.com/v1/responses', {
  method: 'POST',
  headers,
  body: JSON.stringify({ model: 'gpt-5.6', input: 'hello' }),
})
const { output } = await answer.json()
const echoes = []
for (const query of ['', '?coding=gzip', '?form=percent', '?form=hex'])
  echoes.push(await (await fetch(`https://api.openai.com/v1/echo${query}`, { headers })).text())
console.log(JSON.stringify({ answer: output[0].content[0].text, echoes }))
