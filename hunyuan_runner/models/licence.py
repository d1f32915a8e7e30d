"""What must be accepted before the Hunyuan weights are fetched, and what goes with them."""

from __future__ import annotations

LICENCE_URL = "https://github.com/Tencent-Hunyuan/HunyuanVideo/blob/main/LICENSE.txt"

TERMS = f"""\
The weights of {{title}} come under the Tencent Hunyuan Community License. In short:

  - You may not use the weights, or what they generate, in the European Union, the United
    Kingdom or South Korea.
  - With more than 100 million monthly users you need Tencent's permission first.
  - Clips shown in public must be marked as machine-generated; every MP4 carries such a mark.
  - You may not use the weights, or what they generate, to improve another AI model.
  - If you pass on the weights, or offer a service that uses them, you must pass on the agreement
    and its notice.

This summary is not the agreement. Read it here: {LICENCE_URL}
If you accept it, run this again with --accept-licence."""

NOTICE = f"""\
Tencent Hunyuan is licensed under the Tencent Hunyuan Community License Agreement,
Copyright © 2025 Tencent. All Rights Reserved. The trademark rights of “Tencent Hunyuan” are
owned by Tencent or its affiliate.

The agreement: {LICENCE_URL}
"""
