"""Names for containers that were given none: an adjective and the name of somebody science or craft owes much to."""

from __future__ import annotations

from collections.abc import Callable

from dockmagic.engine.ids import below, pick

ADJECTIVES = """
able agile amber ample apt arctic autumn azure balmy blithe bold brave breezy bright brisk calm candid careful
cheerful chilly civil clear clever coastal cordial cosy crisp curious daring deft diligent distant dreamy
dusty eager early earnest easy elated elder epic even exact fabled fair faithful fast fearless fervent fine
firm fleet fluent fond frank free fresh friendly frosty gallant gentle gifted glad golden grand green hale
handy happy hardy hearty honest hopeful humble ideal jolly jovial keen kind lasting lively loyal lucid lucky
lunar mellow merry mild mindful modest neat nimble noble open patient plain polite prompt proud quick quiet
rapid ready regal rosy rustic sage serene sharp silent silver sincere smart solid spry steady stellar sturdy
subtle sunny swift tidy tireless trusty upbeat vivid warm wise witty zealous
""".split()  # noqa: SIM905 - words are easier to read and to add to than strings
SURNAMES = """
abel agnesi ampere anning archimedes aryabhata avogadro babbage bartik bassi bell bernoulli bohr bolyai boole
born bose brahe burnell cannon cantor carson cauchy chandra chebyshev clarke copernicus crick curie darwin
descartes diophantus dirac easley edison einstein elion erdos euclid euler faraday fermat fermi feynman
fibonacci franklin galileo galois gauss germain goodall goedel goldberg gutenberg hamilton hawking herschel
hertz hilbert hodgkin hooke hopper huygens hypatia jacquard jemison johnson joule kalam keller kepler khayyam
kirch kowalevski lagrange lalande lamarr laplace lavoisier leavitt leibniz lewin linnaeus lovelace lumiere
maathai maxwell mayer mclintock meitner mendel mendeleev mirzakhani moore morse napier nash newton nightingale
nobel noether ohm pare pascal pasteur payne perlman planck poincare ptolemy pythagoras ramanujan ride riemann
ritchie rubin sagan sammet sanderson shannon sinoussi snell somerville stonebraker swirles tesla thales
thompson torvalds turing varahamihira vaughan volta wescoff wiles wilson wing wozniak wright wu yalow yonath
zuse
""".split()  # noqa: SIM905 - words are easier to read and to add to than strings


def unused(taken: Callable[[str], bool]) -> str:
    """A name ``taken`` denies: ``brisk_noether``, with a digit when the plain ones are all in use."""
    for attempt in range(1000):
        name = f"{pick(ADJECTIVES)}_{pick(SURNAMES)}"
        if attempt > 5:
            name += str(below(10 ** min(attempt // 6, 9)))
        if not taken(name):
            return name
    raise RuntimeError("no name is free")
