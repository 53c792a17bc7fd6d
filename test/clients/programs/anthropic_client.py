from anthropic import Anthropic

client = Anthropic()
question = {"model": "claude-sonnet-5", "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]}
print(client.messages.create(**question).content[0].text)
with client.messages.stream(**question) as stream:
    print(stream.get_final_text())
