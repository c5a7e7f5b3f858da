"""What an experienced reader of requests takes each symptom to be: phrases, negations and hedges, by hand.

Written against the language of request forms, without the tables that the texts are made from. A phrase matches whole
words; ``*`` stands for any ending. ``denies``: phrases that tell the absence without a negation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """Phrases that name a symptom, and phrases that name its absence."""

    says: tuple[str, ...]
    denies: tuple[str, ...] = ()


def _rule(says: str, denies: str = "") -> Rule:
    parts = [tuple(part.strip() for part in text.split("|") if part.strip()) for text in (says, denies)]
    return Rule(parts[0], parts[1])


RULES = {
    "headache": _rule(
        "headache*|ha|worst headache|worst ha|head ache*|head pain|sore head|pain in head|head hurt*|"
        "head pounding|his head hurts|cephalalgia|cephalgia|cranial pain|head killing|10/10 ha|holocephalic ha|"
        "c/o ha|was ha",
        "head fine|head feels fine|head does not hurt",
    ),
    "vomiting": _rule(
        "vomit*|n&v|n/v|sickness|being sick|sick|threw up|thrown up|puking|brought up|brought anything up|emesis|"
        "retching|keep fluids down|cannot keep fluids down|nausea w/ emesis",
        "keeping fluids down|tolerating po",
    ),
    "seizure": _rule(
        "seizure*|fit|fits|fitted|fitting|convuls*|tonic-clonic|sz|szs|gtc|seized|seize|seizing|seizes|ictal|"
        "postictal|sz-like",
        "nonictal|seizure free",
    ),
    "worsening": _rule(
        "deteriorat*|worsening|worse|going downhill|drowsy|declining|decline|decompensat*|wrong way|progressing|"
        "progression|progressively|somnolent|neuro progression",
        "stable since arrival|unchanged since triage|condition stable|no change since handover|clinically stable|"
        "neuro baseline|exam stable|nonprogressive|neuro stable|neuro checks stable",
    ),
    "loss_of_consciousness": _rule(
        "loc|loss of consciousness|lost consciousness|lose consciousness|blackout|black out|blacked out|"
        "knocked out|ko|ko'd|out cold|unconscious*|passed out|pass out|syncop*|tloc|knockout|knocked unconscious",
        "conscious throughout",
    ),
    "found_unresponsive": _rule(
        "unresponsive*|found down|found-down|unrous*|not rouse|rousable|not responding|could not be woken|"
        "not answering|obtunded|nonrespons*|unable to arouse|unable to wake up|arousal|responsive when found",
        "responsive throughout|always rousable|rousable when crew arrived|called 911|arousable|"
        "responsive for ems|responsive when found",
    ),
    "cognitive_decline": _rule(
        "dementia|cognitive|cognitive decline|mild cognitive impairment|decline in memory|neurocog*|memory|"
        "alzheimer*|donepezil|forgetful|mci|cognition|ad|namenda|aricept|memory decline",
        "cognitively|sharp|memory fine|cognition normal|neurocognitively",
    ),
    "several_passes": _rule(
        "passes|pass|attempts|multipass|fifth attempt|passes x*|many passes",
        "single pass|first-pass|first pass|one pass|single-pass|first attempt|fpe|passes x1|one and done|pass #1|"
        "1 pass|one aspiration pass",
    ),
    "incomplete_reperfusion": _rule(
        "incomplete reperfusion|incomplete recanali*|incomplete revasc*|partial recan*|partial reperfusion|"
        "residual occlusion|residual clot|residual distal clot|residual thrombus|distal emboli|distal occlusion|"
        "persistent distal occlusion|tici*|mtici*|etici*|branch still|branches remained closed|"
        "flow only partly restored|not fully reperfused|suboptimal|subtotal|m2 branch|"
        "reperfusion possibly incomplete|if reperfusion complete|reperfusion grade|post run|final run|"
        "vessel still closed",
        "tici 3|mtici 3|tici iii|etici 3|complete reperfusion|fully recanalised|all branches open|full recanali*|"
        "complete revasc*|full revasc*|complete recanali*|widely patent|widely patent post run|"
        "final run showed complete reperfusion",
    ),
    "tirofiban": _rule(
        "tirofiban|aggrastat|gpiib/iiia|gpi|gp2b3a|glycoprotein inhibitor",
        "tirofiban withheld|tirofiban held",
    ),
    "agitation": _rule(
        "agitat*|restless*|pulling at * lines|thrashing|pulling out cannulas|aggress*|combative*|delirium|"
        "delirious|sundowning|ripping off leads|rass|kicking staff",
        "calm|settled|lying quietly|resting comfortably|rass 0",
    ),
    "unsteadiness": _rule(
        "unstead*|imbalance|balance|ataxi*|swaying|lurching|wobbly|equilibrium|dysequilibrium|off-balance|"
        "instability on standing|falls to side|romberg|tips over|staggers|teetering|can't keep equilibrium",
        "steady on * feet|balance fine|balance normal|stands steadily|romberg negative|equilibrium intact|"
        "nonataxic|balance wnl",
    ),
    "walking_difficulty": _rule(
        "walking|cannot walk|walk|gait|mobilis*|unable to mobilise|unable to walk|off legs|off * legs|"
        "legs giving way|weight bear|can't weight bear|ambulat*|nonambulat*|ambulatory dysfunction|"
        "unable to ambulate|inability to ambulate|wheelchair|could not make it to toilet|walked",
        "walking normally|walked into|mobilising unaided|gait normal|walks unaided|walking fine|"
        "able to walk without help|walked to toilet|ambulatory|ambulating independently|gait wnl|"
        "ambulates w/o assist|gait intact|ambulated to restroom|steady gait|walks at baseline",
    ),
    "vision": _rule(
        "vision|visual|diplopia|seeing double|blurr*|cannot see half|sight off|things look fuzzy|sight|vf|"
        "eyesight|amaurosis|field loss|hemianopic|seeing two",
        "vision normal|eyesight unaffected|vision unaffected|sees normally|can read normally|vff|vf intact|"
        "visual fields intact|vision wnl|va at baseline|fields intact|eyesight fine",
    ),
    "fluctuating": _rule(
        "fluctuat*|come and go|comes and goes|coming and going|come and gone|stuttering|wax*|waning|on-off|"
        "on/off|off and on|improved then recurred|resolved then recurred|intermittent|sx variability|"
        "time course of sx",
        "symptoms constant|deficit constant|fixed deficit|sx constant|nonfluctuat*|sx persistent|sx continuous|"
        "nonvarying",
    ),
    "dizziness": _rule(
        "dizz*|light-head*|lightheaded*|giddy|giddiness|vertig*|spinning|faint|woozy|presyncop*|whirling",
        "nonvertiginous|room not spinning",
    ),
    "high_energy": _rule(
        "high-energy|rtc|road traffic collision|fall from height|high-speed|car vs pedestrian|roof|ejected|"
        "motorbike|by van|scaffolding|by lorry|horse|flight of stairs|mvc|mva|auto vs ped|highway speed|"
        "mcc w/o helmet|atv|ladder|snowmobile vs tree|forklift|height of fall|speed of impact|mechanism|moi|"
        "extrication|height",
        "low-energy|low energy|standing height|glf|ground-level|ground level|low mechanism|fall from standing|"
        "fall from standing height|mechanism low energy",
    ),
}

FORGIVEN = (
    "not eased",
    "unrelieved",
    "w/o support",
    "w/o helmet",
    "not fully",
    "needed sedation",
    "out of proportion",
    "cannot keep fluids down",
    "can't read",
)
"""Negations of something else than the symptom."""

HEDGES = (
    r"\?", r"\+/-", "possibl[ey]", "poss", "query", "unclear", "unsure", "not sure", "not certain", "may", "might",
    "hard to", "not clear", r"cannot (?:exclude|rule out|be ruled out|say|establish)", "could not be assessed",
    "not excluded", "questionable", "equivocal", "unverified", "unconfirmed", r"unable to (?!ambulate|mobilise)",
    "as far as", "seems", "thinks", "wonders?", "vs", "unknown", r"not known(?! to have)",
    r"not (?:documented|dictated|charted|tested)", "pending", "awaited", "vague", "deferred", "do not say",
    "concerned for", "might have",
)  # fmt: skip

NEGATIONS = (
    "no", "not", "nil", "denie[sd]", "denying", "without", "w/o", "never", "nor", "neg", "negative", r"\(-\)",
    "-ve", "none", "hasn't", "free", "absent", "withheld", "held", "asymptomatic", "did not", "does not",
    r"(?<![a-z0-9@] )(?<![a-z0-9])-(?=[a-z]| ?@)",
)  # fmt: skip
