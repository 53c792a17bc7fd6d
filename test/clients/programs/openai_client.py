# Reads nothing but the variables that the package itself reads.
from openai import OpenAI

client = OpenAI()
print(client.responses.create(model="gpt-5.6", input="hello").output_text)
for event in client.responses.create(model="gpt-5.6", input="hello", stream=True):
    if event.type == "response.output_text.delta":
        print(event.delta)
