"""Captions: a small grammar that describes a scene in many ways.

`caption` writes one at random. It may leave out an attribute that has its default value (a ball is
still, a cat is orange), one in ten is empty, and some have words that do not affect the picture, so
that the model copes with the wording of strangers.
"""

import re

import numpy as np

from demo_model.scenes import (
    CAR_COLOURS,
    CAT_COLOURS,
    COLOURS,
    KINDS,
    MOTIONS,
    NONE,
    SHAPES,
    Scene,
)

EMPTY_SHARE = 0.1
USUAL_BACKGROUND = {
    "white": "black"
}  # of a shape whose caption does not name it: white, or black for white shapes
USUAL_COLOUR = {"cat": "orange", "car": "red"}

COLOUR_WORDS = {
    "red": ("red", "red", "red", "red", "crimson", "scarlet"),
    "green": ("green", "green", "green", "green", "emerald", "lime"),
    "blue": ("blue", "blue", "blue", "blue", "navy", "azure"),
    "yellow": ("yellow", "yellow", "yellow", "yellow", "golden"),
    "orange": ("orange",),
    "purple": ("purple", "purple", "purple", "violet"),
    "white": ("white",),
    "black": ("black",),
}
SHAPE_WORDS = {
    "circle": (
        "circle",
        "circle",
        "circle",
        "ball",
        "ball",
        "disc",
        "disk",
        "dot",
        "sphere",
        "orb",
    ),
    "square": ("square", "square", "square", "box", "block", "cube", "tile"),
    "triangle": ("triangle", "triangle", "triangle", "pyramid", "triangular shape"),
}
MOVE_VERBS = (
    "move",
    "slide",
    "go",
    "drift",
    "travel",
    "glide",
    "float",
    "shift",
    "head",
    "fly",
    "roll",
)
VERBS = {
    "up": ("rise", "climb", "ascend", "lift"),
    "down": ("fall", "drop", "sink", "descend"),
    "bounce": ("bounce", "bounce", "jump", "hop"),
}
FORMS = {  # third person, participle
    "move": ("moves", "moving"),
    "slide": ("slides", "sliding"),
    "go": ("goes", "going"),
    "drift": ("drifts", "drifting"),
    "travel": ("travels", "travelling"),
    "glide": ("glides", "gliding"),
    "float": ("floats", "floating"),
    "shift": ("shifts", "shifting"),
    "head": ("heads", "heading"),
    "fly": ("flies", "flying"),
    "roll": ("rolls", "rolling"),
    "rise": ("rises", "rising"),
    "climb": ("climbs", "climbing"),
    "ascend": ("ascends", "ascending"),
    "lift": ("lifts", "lifting"),
    "fall": ("falls", "falling"),
    "drop": ("drops", "dropping"),
    "sink": ("sinks", "sinking"),
    "descend": ("descends", "descending"),
    "bounce": ("bounces", "bouncing"),
    "jump": ("jumps", "jumping"),
    "hop": ("hops", "hopping"),
    "walk": ("walks", "walking"),
    "stroll": ("strolls", "strolling"),
    "run": ("runs", "running"),
    "wander": ("wanders", "wandering"),
    "step": ("steps", "stepping"),
    "drive": ("drives", "driving"),
    "race": ("races", "racing"),
    "flap": ("flaps", "flapping"),
    "soar": ("soars", "soaring"),
    "cross": ("crosses", "crossing"),
}
SIDES = ("{d}", "{d}", "{d}ward", "{d}wards", "to the {d}", "to the {d}", "towards the {d}",
         "toward the {d}", "to the {d} side", "from {o} to {d}", "from the {o} to the {d}",
         "{o} to {d}", "from the {o} side to the {d} side", "in the {d} direction",
         "across the screen to the {d}", "across the frame from {o} to {d}")  # fmt: skip
WAYS = {
    "left": tuple(side.format(d="left", o="right") for side in SIDES),
    "right": tuple(side.format(d="right", o="left") for side in SIDES),
    "up": ("up", "up", "upward", "upwards", "to the top", "towards the top", "toward the top",
           "from bottom to top", "from the bottom to the top", "straight up", "bottom to top"),
    "down": ("down", "down", "downward", "downwards", "to the bottom", "towards the bottom",
             "toward the bottom", "from top to bottom", "from the top to the bottom",
             "straight down", "top to bottom"),
    "bounce": ("", "", "up and down", "on the spot", "in place", "off the floor", "on the ground"),
}  # fmt: skip
STILL = ("", "", "stays still", "standing still", "does not move", "that does not move", "motionless",
         "stationary", "static", "at rest", "sits still", "is not moving", "without moving")  # fmt: skip
BACKGROUNDS = ("on a {c} background", "on a {c} background", "on a {c} background",
               "against a {c} background", "against {c}", "on {c}", "over a {c} background",
               "with a {c} background", "with {c} background", "{c} background", "{c} backdrop",
               "on a {c} backdrop", "against a {c} backdrop", "in front of a {c} wall",
               "on a {c} canvas", "across a {c} background", "over {c}", "the background is {c}",
               "background is {c}", "in front of a {c} background", "on a solid {c} background",
               "on a plain {c} background", "across a {c} screen", "on a {c} surface",
               "with {c} behind it", "background {c}", "on a {c} field")  # fmt: skip
SIZES = ("big", "large", "small", "little", "solid", "simple", "bright", "shiny", "flat", "plain",
         "single", "glossy", "huge", "tiny", "filled")  # fmt: skip
ADVERBS = ("slowly", "smoothly", "quickly", "steadily", "gently", "fast", "swiftly", "calmly")
SHADES = ("dark", "light", "bright", "deep", "pale", "vivid", "pure", "solid")
OPENINGS = ("a video of", "video of", "an animation of", "animation of", "a clip of", "a short clip of",
            "a cartoon of", "there is", "we see", "footage of", "a simple animation of", "a scene with",
            "a short video showing", "an animated", "show me", "please draw", "a shot of",
            "a close-up of", "imagine")  # fmt: skip
STYLES = ("4k", "high quality", "realistic", "cinematic", "hd", "minimalist", "flat design",
          "highly detailed", "smooth motion", "simple", "animated", "cartoon style", "8k", "detailed",
          "vector graphics", "beautiful", "photorealistic", "style of a film", "slow motion",
          "bright colors", "sharp focus", "masterpiece", "3d render", "looping", "natural light",
          "wide shot", "anime", "watercolor", "digital art")  # fmt: skip

GROUND = ("grass", "the grass", "green grass", "the lawn", "a lawn", "a meadow", "a green meadow",
          "a field", "a grassy field", "a garden", "the garden", "a park")  # fmt: skip
OCEAN = ("the ocean", "the sea", "ocean", "sea", "the water", "a calm sea", "an ocean", "the beach",
         "a lake", "the horizon")  # fmt: skip
SCENES = {
    "sunset": ("ocean waves at sunset", "ocean waves at sunset", "waves at sunset", "sea waves at sunset",
               "sunset over {ocean}", "a sunset over {ocean}", "the sunset over {ocean}",
               "a sunset at {ocean}", "the sun sets over {ocean}", "the sun setting over {ocean}",
               "the sun is going down over {ocean}", "{ocean} at sunset", "{ocean} at dusk",
               "waves rolling at sunset", "waves under a setting sun", "sunset", "a beautiful sunset",
               "an orange sunset over {ocean}", "sunset with waves", "the sun sinking into {ocean}",
               "{ocean} in the evening sun", "golden hour over {ocean}", "waves rolling in at dusk",
               "a setting sun above {ocean}", "sunset on {ocean}", "the sun going down behind the waves",
               "evening sky over {ocean}", "sunrise over {ocean}", "the ocean with waves at sunset",
               "waves crashing on the shore at sunset", "ocean waves during sunset", "a sunset sky",
               "the setting sun", "sunset with ocean waves", "the sun sinks into {ocean}",
               "the red sun sets behind the waves", "seascape at sunset", "sunset seascape",
               "waves lapping the beach at sunset", "a golden sunset with gentle ocean waves",
               "the sun low over {ocean} with waves rolling in", "tropical sunset over {ocean}",
               "gentle waves of the ocean at sunset", "sun disappears below {ocean}"),
    "sea": ("ocean waves", "waves on the sea", "the blue ocean", "waves in the ocean", "sea waves",
            "the sea on a sunny day", "blue water with waves", "rolling waves under a blue sky",
            "a calm blue sea", "the ocean by day", "waves", "the sea", "the ocean", "a wavy sea",
            "waves rolling on the sea", "ocean waves in daylight", "blue sea and white clouds"),
    "rain": ("rain", "rain falling", "rain falls", "it is raining", "it rains", "heavy rain",
             "a rainy day", "raindrops falling", "rain falling from grey clouds", "a rain shower",
             "falling rain", "rain drops falling from the sky", "rainy weather", "raining",
             "rain on a dark day", "a rain storm", "a storm with rain", "rain pouring down",
             "rain falling from a gray sky", "rain at night", "rain in the city",
             "rain drops", "rain falling on a city street", "a gloomy rainy sky", "drizzle",
             "raindrops fall from dark clouds", "rain falling down on a window"),
    "night": ("a starry night", "starry night", "stars in the night sky", "a night sky full of stars",
              "the moon and the stars", "stars twinkling", "twinkling stars at night", "a starry sky",
              "the moon in a starry sky", "a night sky with a moon", "a full moon at night", "night sky",
              "stars shining above the hills", "starry night sky", "a moonlit night", "the night sky",
              "stars twinkle in a dark sky", "stars over the mountains", "stars and moon", "a dark night",
              "a night sky with stars", "a sky full of stars", "moon and stars at night",
              "night sky with twinkling stars and a bright moon", "shining stars in the night"),
    "snow": ("snow", "snow falling", "snow falls", "it is snowing", "it snows", "falling snow", "snowfall",
             "snowflakes falling", "a snowy day", "snowy weather", "heavy snow", "a snowy field",
             "snowflakes drifting down", "snow in winter", "a winter landscape with falling snow",
             "gently falling snow", "a snow storm", "winter snow"),
}  # fmt: skip
BEINGS = {  # nouns, verbs, places
    "cat": (("cat", "cat", "cat", "cat", "kitten", "kitty", "tabby cat", "house cat"),
            ("walk", "walk", "walk", "stroll", "run", "wander", "step", "move", "go"),
            (*(f"{p} {g}" for p in ("on", "on", "on", "across", "through", "over", "in")
               for g in GROUND), "")),
    "car": (("car", "car", "car", "sports car", "vehicle", "automobile", "taxi"),
            ("drive", "drive", "drive", "move", "go", "travel", "race", "roll"),
            ("on a road", "on the road", "along a road", "along the road", "down the road", "on a street",
             "down the street", "along a highway", "through the countryside", "to the right", "")),
    "bird": (("bird", "bird", "bird", "black bird", "seagull", "crow"),
             ("fly", "fly", "fly", "soar", "glide", "cross", "flap"),
             ("in the sky", "across the sky", "through the sky", "in a blue sky", "in the blue sky",
              "over the clouds", "through the clouds", "across a blue sky", "high above", "")),
}  # fmt: skip


# Words that mean something only in some kinds of scene.
LITTLE_WORDS = (
    "a an the is are does not that which it its there we see to of in on at with without and as by "
    "from for into over under above below through across along against behind during toward "
    "towards off up down front cute fluffy old fast"
)


def pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[rng.integers(len(options))]


def maybe(rng: np.random.Generator, chance: float, text: str) -> str:
    return text if rng.random() < chance else ""


def verb(rng: np.random.Generator, stem: str) -> str:
    """A verb in one of the forms that can follow a noun."""
    present, participle = FORMS[stem]
    return pick(rng, (present, present, participle, participle, f"is {participle}", f"that {present}",
                      f"which {present}", f"that is {participle}"))  # fmt: skip


def motion_phrase(rng: np.random.Generator, motion: str) -> str:
    if motion == "still":
        return pick(rng, STILL)
    stems = VERBS.get(motion, ())
    own = bool(stems) and (motion == "bounce" or rng.random() < 0.35)
    way = pick(rng, WAYS[motion])
    if own and motion != "bounce":
        way = maybe(rng, 0.5, way)
    words = [verb(rng, pick(rng, stems if own else MOVE_VERBS)), way]
    if not own and rng.random() < 0.08:
        words = [way]
    words.insert(int(rng.integers(len(words) + 1)), maybe(rng, 0.15, pick(rng, ADVERBS)))
    return " ".join(words)


def colour_phrase(rng: np.random.Generator, colour: str) -> str:
    return f"{maybe(rng, 0.08, pick(rng, SHADES))} {pick(rng, COLOUR_WORDS[colour])}"


def shape_caption(scene: Scene, rng: np.random.Generator) -> str:
    colour = colour_phrase(rng, scene.colour)
    size = maybe(rng, 0.15, pick(rng, SIZES))
    noun = pick(rng, SHAPE_WORDS[scene.shape])
    article = pick(rng, ("a", "a", "a", "the"))
    thing = f"{article} {size} {colour} {noun}"
    if rng.random() < 0.06:
        thing = f"{article} {size} {noun} that is {colour}"
    motion = motion_phrase(rng, scene.motion)
    background = pick(rng, BACKGROUNDS).format(c=colour_phrase(rng, scene.background))
    if scene.background == USUAL_BACKGROUND.get(scene.colour, "white") and rng.random() < 0.5:
        background = ""
    order = rng.choice(5, p=(0.5, 0.25, 0.12, 0.06, 0.07))
    if order == 0:
        return f"{thing} {motion} {background}"
    if order == 1:
        return f"{thing} {background} {motion}"
    if order == 2:
        return f"{background} {thing} {motion}"
    if order == 3:
        return f"{background} {motion} {thing}"
    return f"{motion} {thing} {background}"


def being_caption(scene: Scene, rng: np.random.Generator) -> str:
    nouns, verbs, places = BEINGS[scene.kind]
    colour = "" if scene.colour == NONE else scene.colour
    if scene.colour == USUAL_COLOUR.get(scene.kind):
        colour = pick(rng, ("", "", "", colour, "ginger" if scene.kind == "cat" else colour))
    action = f"{verb(rng, pick(rng, verbs))} {maybe(rng, 0.15, pick(rng, ADVERBS))}"
    size = maybe(rng, 0.1, pick(rng, (*SIZES, "cute", "fluffy", "fast", "old")))
    place = pick(rng, places)
    thing = f"{pick(rng, ('a', 'a', 'a', 'the'))} {size} {colour} {pick(rng, nouns)}"
    form = rng.random()
    if form < 0.08:
        return f"{thing} {place}"
    if form < 0.14:
        return f"{place} {thing} {action}"
    return f"{thing} {action} {place}"


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A random description of the scene; one in ten is empty."""
    if rng.random() < EMPTY_SHARE:
        return ""
    if scene.kind == "shape":
        text = shape_caption(scene, rng)
    elif scene.kind in BEINGS:
        text = being_caption(scene, rng)
    else:
        text = pick(rng, SCENES[scene.kind]).format(ocean=pick(rng, OCEAN))
    return dress(text, rng)


def dress(text: str, rng: np.random.Generator) -> str:
    """Add an opening, style words and meaningless words; drop articles."""
    if rng.random() < 0.2:
        text = f"{pick(rng, OPENINGS)} {text}"
    while rng.random() < 0.2:
        text = f"{text} {pick(rng, STYLES)}"
    if rng.random() < 0.06:
        text = f"{pick(rng, STYLES)} {text}"
    if rng.random() < 0.5:
        text = text.replace("travelling", "traveling")
    words = text.split()
    if rng.random() < 0.15:
        words = [word for word in words if word not in ("a", "an", "the")]
    if rng.random() < 0.15:
        for _ in range(rng.integers(1, 4)):
            words.insert(int(rng.integers(len(words) + 1)), "<unk>")
    return " ".join(words)


def vocabulary() -> list[str]:
    """Every word the grammar can write, sorted."""
    tables: list[object] = [COLOUR_WORDS, SHAPE_WORDS, VERBS, FORMS, SIDES, WAYS, STILL, BACKGROUNDS,
                            SIZES, SHADES, ADVERBS, OPENINGS, STYLES, GROUND, OCEAN, SCENES, BEINGS]  # fmt: skip
    extra = (
        "a an the is are that which it its to of in on at with and ginger cute fluffy old traveling"
    )
    return sorted(set(words(tables)) | set(words(extra)))


def known_words() -> dict[str, dict[str, list[str]]]:
    """The words that the service can explain: the subjects, and what each kind of scene understands.

    Words that can be added to any caption are left out.
    """
    anywhere = {*words([OPENINGS, STYLES, SIZES, ADVERBS, SHADES]), *LITTLE_WORDS.split()}
    scenes: dict[str, object] = {
        kind: [phrases, OCEAN if "{ocean}" in " ".join(phrases) else ()]
        for kind, phrases in SCENES.items()
    }
    for kind, (nouns, verbs, places) in BEINGS.items():
        scenes[kind] = [nouns, verbs, [FORMS[verb] for verb in verbs], places]
    stems = [*MOVE_VERBS, *words(VERBS)]
    forms = [FORMS[stem] for stem in stems]
    scenes["shape"] = [SHAPE_WORDS, COLOUR_WORDS, stems, forms, WAYS, SIDES, STILL, BACKGROUNDS]
    colours = {"cat": [*CAT_COLOURS, "ginger"], "car": CAR_COLOURS}
    return {
        "draws": {
            "shapes": list(SHAPES),
            "colours": list(COLOURS),
            "motions": list(MOTIONS),
            "scenes": [kind for kind in KINDS if kind != "shape"],
        },
        "scenes": {
            kind: sorted({*words([scenes[kind], colours.get(kind, [])])} - anywhere)
            for kind in KINDS
        },
    }


def words(tree: object) -> list[str]:
    """The words in nested tables of phrases, without placeholders."""
    if isinstance(tree, str):
        return re.findall(r"[a-z0-9]+", re.sub(r"\{.*?\}", " ", tree.lower()))
    branches = tree.values() if isinstance(tree, dict) else tree
    return [word for branch in branches for word in words(branch)]  # type: ignore[attr-defined]
