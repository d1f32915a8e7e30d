"""The two BentoML services, as `bentoml serve` finds them in this folder and in a bento.

bentoml serve service:HunyuanVideo                              both
HUNYUAN_LOCAL_RUNNER=false bentoml serve service:HunyuanVideo   a front alone
bentoml serve service:HunyuanRunner                             a runner alone
"""

from hunyuan_runner.service import HunyuanRunner, HunyuanVideo

__all__ = ["HunyuanRunner", "HunyuanVideo"]
