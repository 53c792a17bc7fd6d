import os
import ssl

import httpx

trust = ssl.create_default_context(cafile=os.environ["H2_CA"])
with httpx.Client(http2=True, verify=trust) as client:
    answer = client.post(
        f"https://{os.environ['H2_HOST']}/echo",
        headers={"authorization": "Bearer " + os.environ["H2_KEY"]},
        content="hello",
    )
    print(answer.text, answer.http_version)
