import { GoogleGenAI } from '@google/genai'

const client = new GoogleGenAI({})
const question = { model: 'gemini-3-pro', contents: 'hello' }
const answer = await client.models.generateContent(question)
let streamed = ''
for await (const chunk of await client.models.generateContentStream(question)) streamed += chunk.text ?? ''
console.log(JSON.stringify({ answer: answer.text, streamed, echoes: [] }))
