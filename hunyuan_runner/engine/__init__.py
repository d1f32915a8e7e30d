"""The engine: a child process that renders clips. Nothing outside this room imports torch.

The parent's side, without torch: process.py starts the child, sends it messages.py through
channel.py, and ends it for the reasons in stop.py. The child's side: child.py holds a pipeline.py,
which goes from encoding prompts (prompts.py caches them) through denoising.py (step_cache.py skips
steps) to vae.py (decoder.py decodes its tiles), or to taehv.py, the fast decoder, and frames.py.
After every step it reports a checkpoint.py. components.py loads what these need. What differs
between families of models is in implementation.py, and in a folder for each family, such as
hunyuan/; in int8, their transformers are made of quantize.py, blocks.py and kernels.py. measure.py
times all of it on a new machine.
"""
