"""The noise scheduler that the loop in engine/denoising.py and the quotes in schedule.py assume."""

from __future__ import annotations

from hunyuan_runner.families.configuration import Component

SCHEDULER = Component(
    kinds=("FlowMatchEulerDiscreteScheduler",),
    settings={
        "base_image_seq_len": None,  # of dynamic shifting, which is off
        "base_shift": None,
        "invert_sigmas": (False,),
        "max_image_seq_len": None,
        "max_shift": None,
        "num_train_timesteps": (1000,),
        "shift": None,
        "shift_terminal": (None,),
        "stochastic_sampling": (False,),
        "time_shift_type": None,
        "use_beta_sigmas": (False,),
        "use_dynamic_shifting": (False,),
        "use_exponential_sigmas": (False,),
        "use_karras_sigmas": (False,),
    },
)
