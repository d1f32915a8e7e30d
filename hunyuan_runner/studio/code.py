"""Programs that make a clip again: what the page offers to copy."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from hunyuan_runner.params import GenerationParams

# Every program waits for the clip and saves it as FILE. A key comes from the environment, so that
# none ends up in a file or a shell's history.
FILE = "clip.mp4"
KEY_VARIABLE = "HUNYUAN_API_KEY"


def programs(clip: GenerationParams, service: str, *, with_key: bool) -> Mapping[str, str]:
    """By language: a program that sends this clip to the service at the URL `service`."""
    fields = clip.model_dump(mode="json", exclude_none=True)
    return {
        "curl": _curl(fields, service, with_key),
        "Python": _python(fields, service, with_key),
        "JavaScript": _javascript(fields, service, with_key),
    }


def _curl(fields: Mapping[str, Any], service: str, with_key: bool) -> str:
    key = f' -H "Authorization: Bearer ${KEY_VARIABLE}"' if with_key else ""
    url = shlex.quote(service)
    body = shlex.quote(json.dumps(fields, ensure_ascii=False, indent=2))
    return f"""\
job=$(curl -fsS {url}/api/generate{key} \\
  -H 'Content-Type: application/json' -d {body} \\
  | jq -r .job_id)
while curl -fsS {url}/api/status/$job{key} | jq -e '.completed_at == null' > /dev/null
do sleep 1; done
curl -fsS {url}/api/videos/$job.mp4{key} -o {FILE}
"""


def _python(fields: Mapping[str, Any], service: str, with_key: bool) -> str:
    key = f"  # with the key in {KEY_VARIABLE}" if with_key else ""
    arguments = "".join(f"        {name}={value!r},\n" for name, value in fields.items())
    return f"""\
from hunyuan_runner.client import HunyuanClient

with HunyuanClient({service!r}) as client:{key}
    job = client.generate(
{arguments}    )
    job.wait()
    job.download({FILE!r})
"""


def _javascript(fields: Mapping[str, Any], service: str, with_key: bool) -> str:
    key = f" Authorization: `Bearer ${{process.env.{KEY_VARIABLE}}}` " if with_key else ""
    body = json.dumps(fields, ensure_ascii=False, indent=2)
    return f"""\
import {{ writeFile }} from "node:fs/promises";

const service = {json.dumps(service)};
const headers = {{{key}}};

async function ask(path, options) {{
  const answer = await fetch(service + path, {{ headers, ...options }});
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  return answer;
}}

const json = {{ ...headers, "Content-Type": "application/json" }};
const clip = {body};
const sent = {{ method: "POST", headers: json, body: JSON.stringify(clip) }};
let job = await (await ask("/api/generate", sent)).json();
while (job.completed_at === null) {{
  await new Promise((resolve) => setTimeout(resolve, 1000));
  job = await (await ask(`/api/status/${{job.job_id}}`)).json();
}}
const video = await ask(`/api/videos/${{job.job_id}}.mp4`);
await writeFile("{FILE}", Buffer.from(await video.arrayBuffer()));
"""
