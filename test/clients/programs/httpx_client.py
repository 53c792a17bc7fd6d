import os

import httpx

headers = {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
answer = httpx.post("https://api.openai.com/v1/responses", headers=headers, json={"model": "gpt-5.6", "input": "hello"}, timeout=30)
answer.raise_for_status()
print(answer.json()["output"][0]["content"][0]["text"])
print(httpx.get("https://api.openai.com/v1/echo?coding=gzip", headers=headers, timeout=30).text)
