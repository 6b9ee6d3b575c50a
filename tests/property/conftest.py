"""How Hypothesis is used here: nothing is timed, nothing is kept between runs."""

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "ffrtmp",
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.register_profile(
    "seeded",  # of scripts/seed_faults: a failure is all that is asked for, not the smallest
    parent=settings.get_profile("ffrtmp"),
    max_examples=400,  # some faults show in one life of a thousand
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,  # what is caught is caught every time
)
settings.load_profile("ffrtmp")
