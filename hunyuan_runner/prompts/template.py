"""The text that the encoders get for a prompt, and how many of its tokens they read."""

# Llama reads this whole text; the states of the tokens before the prompt are then cropped off.
TEMPLATE = (
    "<|start_header_id|>system<|end_header_id|>\n\nDescribe the video by detailing the following "
    "aspects: 1. The main content and theme of the video."
    "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects."
    "3. Actions, events, behaviors temporal relationships, physical movement changes of the "
    "objects.4. background environment, light, style and atmosphere."
    "5. camera angles, movements, and transitions used in the video:<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
)
CROP_START = 95  # tokens before the prompt
LLAMA_TOKENS = 256  # from the prompt on
CLIP_TOKENS = 77


def most_tokens(prompt: str) -> int:
    """The most tokens that any tokenizer can make of a prompt: one per byte.

    Normalising text that is not ASCII can make it three times as long.
    """
    return len(prompt) if prompt.isascii() else 3 * len(prompt.encode())
