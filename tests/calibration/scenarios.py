"""The designs of the full tier."""

from tests.calibration.simulate import Scenario

DOCUMENTS = (30, 100, 300)
BREAKS = (0.01, 0.02, 0.05, 0.1)
#: Where the kink is plain in every data set, and data as the simple segmented mixed model has them.
CLEAR, OWN = "clear", "its own model"
#: Noise as in our run, and a third of it.
NOISE = {CLEAR: 0.3, "as in our run": 1.0}
#: Parts of the curve that have a kink, from none to all, for power curves.
STRENGTHS = (0.02, 0.05, 0.1, 0.2, 0.4)


def usual_scenarios() -> list[Scenario]:
    """Return clear kinks, and kinks in noise as real."""
    return [Scenario(kind, n, at, noise=noise) for kind, noise in NOISE.items() for at in BREAKS for n in DOCUMENTS]


def coverage_scenarios() -> list[Scenario]:
    """Return the usual designs, weak kinks, and kinks near the ends of the grid."""
    weak = [Scenario("weak", n, 0.05, noise=1.0, slope_change=0.1) for n in DOCUMENTS]
    edge = [Scenario("edge", n, at, noise=0.3) for at in (0.004, 0.7) for n in DOCUMENTS]
    return usual_scenarios() + weak + edge


def sequential_scenarios(n_documents: int) -> list[Scenario]:
    """Return the designs of ``coverage_scenarios`` once each, with so many documents to stop among."""
    usual = [Scenario(kind, n_documents, at, noise=noise) for kind, noise in NOISE.items() for at in BREAKS]
    weak = Scenario("weak", n_documents, 0.05, noise=1.0, slope_change=0.1)
    return [*usual, weak, *(Scenario("edge", n_documents, at, noise=0.3) for at in (0.004, 0.7))]


def mixed_model_scenarios() -> list[Scenario]:
    """Return the designs of the segmented mixed model, which takes seconds a data set: its own, and the clear ones."""
    designs = [(at, n) for at in BREAKS for n in DOCUMENTS]
    own = [Scenario(OWN, n, at, mixed_model=True) for at, n in designs]
    return own + [Scenario(CLEAR, n, at, noise=NOISE[CLEAR]) for at, n in designs]


def power_scenarios() -> list[Scenario]:
    """Return kinks of rising strength in noise as real."""
    return [Scenario("power", n, 0.05, noise=1.0, slope_change=part) for part in STRENGTHS for n in DOCUMENTS]
