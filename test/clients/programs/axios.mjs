import axios from 'axios'

const headers = { authorization: `Bearer ${process.env.OPENAI_API_KEY}` }
const answer = await axios.post(
  'https://api.openai.com/v1/responses',
  { model: 'gpt-5.6', input: 'hello' },
  { headers },
)
const echoes = []
for (const query of ['', '?coding=gzip', '?coding=br'])
  echoes.push(JSON.stringify((await axios.get(`https://api.openai.com/v1/echo${query}`, { headers })).data))
console.log(JSON.stringify({ answer: answer.data.output[0].content[0].text, echoes }))
