import { GoogleGenAI } from '@google/genai'

const client = new GoogleGenAI({})
const question = { model: 'gemini-3-pro', contents: 'hello' }
const answer = await client.models.generateContent(question)
let streamed = ''
for await (const chunk of await client.models.generateContentStream(question)) streamed += chunk.text ?? ''
// The package has no call for a path of one's own.
const headers = { 'x-goog-api-key': process.env.GEMINI_API_KEY }
const echoes = []
for (const query of ['', '?coding=br', '?form=base64&shift=1']) {
  echoes.push(await (await fetch(`https://generativelanguage.googleapis.com/v1beta/echo${query}`, { headers })).text())
}
console.log(JSON.stringify({ answer: answer.text, streamed, echoes }))
