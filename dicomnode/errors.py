"""The error tree.

::

    NodeError
    ├── ConfigError            the configuration is wrong (all faults at once); the admin mends it
    │   └── ManifestError          a manifest for training or evaluation is wrong (all faults at once)
    ├── EnvironmentFault       disk, memory, mount or port are away, full or taken: it passes, or an admin mends it
    │   └── DatabaseUnusable       the database is missing, away, of another version or not allowed; says what to do
    ├── ReceiveError           an instance cannot be taken; carries the DIMSE status for the sender
    ├── SeriesError            the images are at fault; carries a coded Refusal
    │   ├── IncompleteSeries       slices are missing
    │   └── InconsistentGeometry   positions, orientations or sizes contradict each other
    ├── ReadError              a file or folder cannot be read as an image, or a mask does not fit its image
    ├── ContextError           values or texts of a patient cannot be taken; each with a coded ContextRefusal
    ├── FhirError              a FHIR server gave no answer about a patient; carries a coded FhirOutcome
    ├── MessageRefused         an HL7 message is not taken; carries a coded MessageRefusal
    ├── JobError               the queue was used wrongly
    │   ├── IllegalTransition      no arrow leads from this state by this event
    │   └── LeaseLost              another worker owns the job now; the work is thrown away
    ├── BundleError            a model bundle is missing, damaged or not what its digest says
    │   └── BundleRefused          a foreign bundle cannot be imported; carries a coded ImportRefusal
    ├── InferenceError         a model failed on this input
    │   ├── DeviceMissing          the device that was asked for is not there
    │   ├── WorkerCrashed          the worker process died (retryable until quarantined)
    │   └── RunTimedOut            the watchdog killed the worker (retryable until quarantined)
    ├── TrainingError          a training cannot go on: the loss is not finite, a checkpoint does not fit
    ├── WebError               an HTTP server gave no answer that can be used
    │   ├── NoConnection           it cannot be reached at all
    │   ├── NoWholeAnswer          the connection was lost, or the answer did not come whole and in time
    │   ├── AnswerTooLong          the answer is longer than the node reads
    │   └── NoCredentials          the secret cannot be read, or the token server gives no token
    ├── BackupRefused          a backup is not made or not brought back; carries a coded BackupRefusal
    ├── ExportRefused          a case is not given away; carries a coded ExportRefusal
    ├── EncodeError            findings could not be written as a valid object; nothing is sent
    ├── NotifyError            a message to people did not arrive
    │   └── ReportRefused          a system would not have the report of a finding
    └── DeliveryError          a destination did not take a result
        ├── AssociationRejected    no association or connection, or no presentation context
        │   ├── NotAdmitted            the peer was reached, but wants no association with this node
        │   ├── OutcomeUnknown         it was sent and no answer came: the destination may have it
        │   ├── ClassNotAccepted       the presentation context of this SOP class was rejected
        │   ├── FindNotOffered         the destination offers no C-FIND; nothing can be asked of it
        │   └── DestinationUnavailable  a DICOMweb server is away or takes nothing now (credentials, path, overload)
        ├── CommitmentNotOffered   the destination offers no storage commitment
        ├── StoreRefused           C-STORE or STOW-RS answered with a failure status
        ├── ResultAway             the bytes cannot be read from the node's own disk now: no fault of the destination
        └── ResultDamaged          the bytes on disk are not those that were encoded; they are never sent

``retryable`` says whether the same call may succeed later without anyone changing anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Refusal(StrEnum):
    """Coded reasons why a series, a job or an instance is not processed.

    The value stands in the database, in ``dicomnode why`` and in metrics; :meth:`sentence` is what a person reads.
    """

    NOT_CT = "not_ct"
    NO_PIXELS = "no_pixels"
    UNREADABLE = "unreadable"
    INVALID_UID = "invalid_uid"
    UID_MISMATCH = "uid_mismatch"
    HEADER_TOO_LARGE = "header_too_large"
    IMPLAUSIBLE_SIZE = "implausible_size"
    EXPANDS_TOO_FAR = "expands_too_far"
    TOO_MANY_INSTANCES = "too_many_instances"
    OWN_RESULT = "own_result"
    LOCALIZER = "localizer"
    DERIVED = "derived"
    SECONDARY_CAPTURE = "secondary_capture"
    MULTI_FRAME = "multi_frame"
    CONTRAST_ANGIOGRAPHY = "contrast_angiography"
    PERFUSION = "perfusion_or_multi_phase"
    NOT_AXIAL = "not_axial"
    NO_GEOMETRY = "no_geometry"
    TOO_FEW_SLICES = "too_few_slices"
    MISSING_SLICES = "missing_slices"
    DUPLICATE_POSITIONS = "duplicate_positions"
    MIXED_ORIENTATION = "mixed_orientation"
    MIXED_SIZE = "mixed_size"
    MIXED_FRAME_OF_REFERENCE = "mixed_frame_of_reference"
    MIXED_PATIENTS = "mixed_patients"
    UNEVEN_STACK = "uneven_stack"
    COVERAGE_TOO_SMALL = "coverage_too_small"
    NO_RESCALE = "no_rescale"
    IMPLAUSIBLE_HU = "implausible_hu"
    NOT_A_HEAD = "not_a_head"
    CONTENT_CONFLICT = "content_conflict"
    REJECTED = "rejected"
    AFTER_RETENTION = "after_retention"
    RUN_FAILED = "run_failed"
    NO_PROTOCOL = "no_protocol"
    OUTSIDE_INTENDED_USE = "outside_intended_use"

    def sentence(self) -> str:
        """What a person reads, and what would be needed."""
        return _SENTENCES[self]


_SENTENCES: dict[Refusal, str] = {
    Refusal.NOT_CT: "Not a CT image. Only CT image series are processed.",
    Refusal.NO_PIXELS: "The instance has no pixel data.",
    Refusal.UNREADABLE: "The file cannot be parsed or its pixels cannot be decoded; the bytes are kept.",
    Refusal.INVALID_UID: "Study, Series or SOP Instance UID is missing or no UID: more than 64 characters, "
    "or others than digits and points.",
    Refusal.UID_MISMATCH: "The sender named another SOP instance or class than the data set that it sent.",
    Refusal.HEADER_TOO_LARGE: "The header is far larger than that of any CT image; the bytes are kept.",
    Refusal.IMPLAUSIBLE_SIZE: "Header and pixels name different sizes, or one that no CT image has. Not decoded.",
    Refusal.EXPANDS_TOO_FAR: "Reading the pixels would take far more memory or time than an image of that size needs.",
    Refusal.TOO_MANY_INSTANCES: "The series has more instances than the configuration allows; the bytes are kept.",
    Refusal.OWN_RESULT: "A result of this node that came back. Own results are never processed.",
    Refusal.LOCALIZER: "A localizer (scout) image, not an axial slice.",
    Refusal.DERIVED: "A derived or reformatted image, not an original axial acquisition.",
    Refusal.SECONDARY_CAPTURE: "A secondary capture, not an acquired slice.",
    Refusal.MULTI_FRAME: "Multi-frame CT is not supported yet; send single-frame CT images.",
    Refusal.CONTRAST_ANGIOGRAPHY: "A contrast or angiography series. A non-contrast head CT is needed "
    "(iodine left by a thrombectomy is no obstacle).",
    Refusal.PERFUSION: "A perfusion or multi-phase series: several images at the same position.",
    Refusal.NOT_AXIAL: "The slices are not axial.",
    Refusal.NO_GEOMETRY: "ImagePositionPatient, ImageOrientationPatient or PixelSpacing is missing.",
    Refusal.TOO_FEW_SLICES: "Too few slices for a volume.",
    Refusal.MISSING_SLICES: "Slices are missing: a gap exceeds 1.5 times each neighbouring gap.",
    Refusal.DUPLICATE_POSITIONS: "Different slices lie at the same position.",
    Refusal.MIXED_ORIENTATION: "The slices differ in orientation.",
    Refusal.MIXED_SIZE: "The slices differ in matrix size or pixel spacing.",
    Refusal.MIXED_FRAME_OF_REFERENCE: "The slices differ in frame of reference.",
    Refusal.MIXED_PATIENTS: "The images of one series name different patients.",
    Refusal.UNEVEN_STACK: "The slices are unevenly spaced or sheared by gantry tilt: they form no regular grid.",
    Refusal.COVERAGE_TOO_SMALL: "The slices cover less than 100 mm: not a whole head.",
    Refusal.NO_RESCALE: "RescaleSlope or RescaleIntercept is missing: no Hounsfield units.",
    Refusal.IMPLAUSIBLE_HU: "The pixels hold values that their header does not allow: no Hounsfield units.",
    Refusal.NOT_A_HEAD: "No brain was found within a skull.",
    Refusal.CONTENT_CONFLICT: "The same SOP Instance UID was received with different pixels or geometry.",
    Refusal.REJECTED: "The images were rejected by a rejection note (IHE IOCM): they must not be used.",
    Refusal.AFTER_RETENTION: "The image came after the retention of its series was over: the result stands without it.",
    Refusal.RUN_FAILED: "The analysis failed on these images; the node's operator can see why (dicomnode jobs show).",
    Refusal.NO_PROTOCOL: "No protocol of the configuration matches this series.",
    Refusal.OUTSIDE_INTENDED_USE: "The series lies outside the limits of the model's intended use.",
}


class NodeError(Exception):
    """Root of all errors raised on purpose."""

    retryable = False


class ConfigError(NodeError):
    """The configuration is wrong.

    Parameters
    ----------
    faults : every fault found, each a sentence naming file line and key.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class ManifestError(ConfigError):
    """A manifest for training or evaluation is wrong; every fault names its line and column."""


class EnvironmentFault(NodeError):
    """What the node stands on is away, full or taken: disk, memory, mount, port. No image is at fault.

    :mod:`dicomnode.environment` tells which errors of libraries are one.
    """

    retryable = True


class DatabaseUnusable(EnvironmentFault):
    """The database is missing, away, of another version, or this user may not use it; the message says what to do."""


class ReceiveError(NodeError):
    """An instance cannot be taken.

    Parameters
    ----------
    status : DIMSE status for the sender (DICOM PS3.4 B.2.3), such as 0xA700.
    """

    retryable = True

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class SeriesError(NodeError):
    """The images are at fault.

    Parameters
    ----------
    refusal : the coded reason.
    detail : the values seen, without patient attributes.
    """

    def __init__(self, refusal: Refusal, detail: str = "") -> None:
        super().__init__(f"{refusal.value}: {refusal.sentence()}{' ' + detail if detail else ''}")
        self.refusal = refusal
        self.detail = detail


class IncompleteSeries(SeriesError):
    """Slices are missing."""


class InconsistentGeometry(SeriesError):
    """Positions, orientations or sizes contradict each other."""


class ContextRefusal(StrEnum):
    """Coded reasons why a value or a text of a patient is not taken; :meth:`sentence` is what a person reads."""

    NOT_READABLE = "not_readable"
    TOO_LARGE = "too_large"
    NOTHING_IN_IT = "nothing_in_it"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    NO_PATIENT = "no_patient"
    WRONG_PATIENT = "wrong_patient"
    UNKNOWN_VARIABLE = "unknown_variable"
    NO_UNIT = "no_unit"
    UNKNOWN_UNIT = "unknown_unit"
    NOT_A_NUMBER = "not_a_number"
    NOT_YES_OR_NO = "not_yes_or_no"
    UNKNOWN_WORD = "unknown_word"
    NOT_A_TIME = "not_a_time"
    NO_TIME = "no_time"
    IMPLAUSIBLE = "implausible"
    ONLY_A_LIMIT = "only_a_limit"
    NO_TEXT = "no_text"
    SEVERAL_VALUES = "several_values"

    def sentence(self) -> str:
        """What a person reads, and what would be needed."""
        return _CONTEXT_SENTENCES[self]


_CONTEXT_SENTENCES: dict[ContextRefusal, str] = {
    ContextRefusal.NOT_READABLE: "Neither JSON nor CSV with a line of names, in UTF-8.",
    ContextRefusal.TOO_LARGE: "Longer than a document about patients may be.",
    ContextRefusal.NOTHING_IN_IT: "It holds neither a value nor a text.",
    ContextRefusal.UNKNOWN_FIELD: "A field that the format does not have, or one of another type than it has.",
    ContextRefusal.MISSING_FIELD: "A field that is needed is missing or empty.",
    ContextRefusal.NO_PATIENT: "It does not say whose it is: a patient ID is needed.",
    ContextRefusal.WRONG_PATIENT: "It is about another patient: patient ID, birth date or sex contradict.",
    ContextRefusal.UNKNOWN_VARIABLE: "A variable or LOINC code that the node does not know.",
    ContextRefusal.NO_UNIT: "The unit is missing; of a D-dimer it must say FEU or DDU.",
    ContextRefusal.UNKNOWN_UNIT: "The node knows no conversion from this unit; of a D-dimer it must say FEU or DDU.",
    ContextRefusal.NOT_A_NUMBER: "Not a number, or one written with a comma.",
    ContextRefusal.NOT_YES_OR_NO: "Neither yes nor no.",
    ContextRefusal.UNKNOWN_WORD: "Not one of the words that this variable has.",
    ContextRefusal.NOT_A_TIME: "Not a date and time as ISO 8601 writes them, such as 2026-11-28T02:10:00+01:00.",
    ContextRefusal.NO_TIME: "When it was observed is missing, to the minute: this variable changes within hours.",
    ContextRefusal.IMPLAUSIBLE: "Outside the plausible range of this variable in its unit.",
    ContextRefusal.ONLY_A_LIMIT: "Only a limit such as '<0.5' is given: no value.",
    ContextRefusal.NO_TEXT: "A report without text that can be read: a PDF, a picture, or a link alone.",
    ContextRefusal.SEVERAL_VALUES: "Several values in one place: which of them counts is not told.",
}


class ContextError(NodeError):
    """Values or texts of a patient cannot be taken; none of their document is.

    Parameters
    ----------
    faults : where in the document, and why; without values.
    """

    def __init__(self, faults: Sequence[tuple[str, ContextRefusal]]) -> None:
        lines = [f"{where}: {why.value}: {why.sentence()}".removeprefix(": ") for where, why in faults]
        super().__init__("\n".join(lines))
        self.faults = tuple(faults)


class FhirOutcome(StrEnum):
    """What came of asking a FHIR server about a patient; :meth:`sentence` is what a person reads."""

    ANSWERED = "answered"
    IN_PART = "answered_in_part"
    NOT_REACHED = "not_reached"
    BUSY = "busy"
    TOO_SLOW = "too_slow"
    NO_CREDENTIALS = "no_credentials"
    NOT_ALLOWED = "not_allowed"
    REFUSED = "refused"
    REDIRECTED = "redirected"
    OTHER_ORIGIN = "other_origin"
    BAD_ANSWER = "bad_answer"
    TOO_LONG = "too_long"
    NO_PATIENT = "no_patient"
    TWO_PATIENTS = "two_patients"
    WRONG_PATIENT = "wrong_patient"
    CONTRADICTS = "contradicts"
    NO_ID = "no_patient_id"
    NO_SYSTEM = "no_identifier_system"
    NO_HEADER = "images_not_readable"

    def sentence(self) -> str:
        """What a person reads, and what would be needed."""
        return _FHIR_SENTENCES[self]

    @property
    def passes(self) -> bool:
        """Whether the same question may be answered soon without anyone changing anything."""
        return self in _PASSING


_PASSING = (FhirOutcome.NOT_REACHED, FhirOutcome.BUSY, FhirOutcome.TOO_SLOW, FhirOutcome.NO_CREDENTIALS)
_FHIR_SENTENCES: dict[FhirOutcome, str] = {
    FhirOutcome.ANSWERED: "Answered.",
    FhirOutcome.IN_PART: "Answered in part: there was more than is read, or a kind of resource was not given.",
    FhirOutcome.NOT_REACHED: "The server cannot be reached, or failed; it is asked again.",
    FhirOutcome.BUSY: "The server asks for fewer requests; it is asked again.",
    FhirOutcome.TOO_SLOW: "The answers did not come in time; it is asked again.",
    FhirOutcome.NO_CREDENTIALS: "There is no token: the secret cannot be read, or the token server gives none.",
    FhirOutcome.NOT_ALLOWED: "The server does not accept the credentials, or does not allow this to them.",
    FhirOutcome.REFUSED: "The server refuses the question; perhaps base_url is wrong.",
    FhirOutcome.REDIRECTED: "The server points elsewhere; no redirection is followed, set base_url to it.",
    FhirOutcome.OTHER_ORIGIN: "The next page lies on another host or port: it is not followed.",
    FhirOutcome.BAD_ANSWER: "The answer is no FHIR searchset.",
    FhirOutcome.TOO_LONG: "The answer is longer than is read.",
    FhirOutcome.NO_PATIENT: "The server knows no patient with this ID.",
    FhirOutcome.TWO_PATIENTS: "Several patients have this ID: none is taken.",
    FhirOutcome.WRONG_PATIENT: "The server returned a patient without the ID that was asked for.",
    FhirOutcome.CONTRADICTS: "The patient's birth date or sex is another than that of the images.",
    FhirOutcome.NO_ID: "The images name no patient ID.",
    FhirOutcome.NO_SYSTEM: "The configuration has no identifier system for the issuer of the patient ID.",
    FhirOutcome.NO_HEADER: "The header of the images cannot be read.",
}


class FhirError(NodeError):
    """A FHIR server gave no answer about a patient.

    Parameters
    ----------
    outcome : why.
    detail : HTTP status or code of an issue; neither a URL nor an attribute of the patient.
    retry_after_s : how long the server asks to be left alone; 0: it did not say.
    """

    def __init__(self, outcome: FhirOutcome, detail: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(f"{outcome.value}: {outcome.sentence()}{f' ({detail})' if detail else ''}")
        self.outcome, self.detail, self.retry_after_s = outcome, detail, retry_after_s
        self.retryable = outcome.passes


class MessageRefusal(StrEnum):
    """Coded reasons why an HL7 message is not taken; :meth:`sentence` is what a person reads."""

    NOT_HL7 = "not_hl7"
    SEVERAL_MESSAGES = "several_messages"
    ODD_SEPARATORS = "odd_separators"
    TOO_LARGE = "too_large"
    TOO_MANY_PARTS = "too_many_parts"
    UNKNOWN_CHARSET = "unknown_charset"
    NOT_IN_CHARSET = "not_in_charset"
    WRONG_TYPE = "wrong_type"
    WRONG_EVENT = "wrong_event"
    WRONG_PROCESSING_ID = "wrong_processing_id"
    WRONG_VERSION = "wrong_version"
    UNKNOWN_SENDER = "unknown_sender"
    NO_CONTROL_ID = "no_control_id"
    MISSING_SEGMENT = "missing_segment"
    NO_PATIENT = "no_patient"
    ODD_PATIENT = "odd_patient"
    SAME_PATIENT = "same_patient"
    INTERNAL = "internal_error"

    def sentence(self) -> str:
        """What a person reads, and what would be needed."""
        return _MESSAGE_SENTENCES[self]


_MESSAGE_SENTENCES: dict[MessageRefusal, str] = {
    MessageRefusal.NOT_HL7: "It does not begin with an MSH segment.",
    MessageRefusal.SEVERAL_MESSAGES: "Another MSH in the same frame: only one message can be acknowledged.",
    MessageRefusal.ODD_SEPARATORS: "MSH-1 and MSH-2 must be different marks of ASCII: no letters, digits or blanks.",
    MessageRefusal.TOO_LARGE: "Longer than max_message_bytes.",
    MessageRefusal.TOO_MANY_PARTS: "More fields and components than a message with results has.",
    MessageRefusal.UNKNOWN_CHARSET: "A character set in MSH-18 that the node does not read.",
    MessageRefusal.NOT_IN_CHARSET: "Its bytes are not in the character set of MSH-18, or of charset where it has none.",
    MessageRefusal.WRONG_TYPE: "Neither ORU nor ADT.",
    MessageRefusal.WRONG_EVENT: "Of ORU only R01, of ADT only A01, A04, A08 and A40 are read.",
    MessageRefusal.WRONG_PROCESSING_ID: "MSH-11 is none of processing_ids: it is no message of production.",
    MessageRefusal.WRONG_VERSION: "MSH-12 is no version from 2.1 to 2.9.",
    MessageRefusal.UNKNOWN_SENDER: "Nobody of senders has this address, certificate, application and facility.",
    MessageRefusal.NO_CONTROL_ID: "MSH-10 is empty: it cannot be acknowledged.",
    MessageRefusal.MISSING_SEGMENT: "A segment is missing: PID, or MRG of a merge.",
    MessageRefusal.NO_PATIENT: "No identifier in PID-3 or MRG-1 is the issuer's, or of type MR, PI, PT or none.",
    MessageRefusal.ODD_PATIENT: "PID-7 is no date, or PID-8 no sex.",
    MessageRefusal.SAME_PATIENT: "PID-3 and MRG-1 are the same identifier.",
    MessageRefusal.INTERNAL: "The node could not read it; its log says where.",
}


class MessageRefused(NodeError):
    """An HL7 message is not taken; nothing of it is stored.

    Parameters
    ----------
    where : segment and field, such as ``MSH-18``; without values.
    """

    def __init__(self, why: MessageRefusal, where: str = "MSH-1") -> None:
        super().__init__(f"{where}: {why.value}: {why.sentence()}")
        self.why = why
        self.where = where


class JobError(NodeError):
    """The queue was used wrongly."""


class IllegalTransition(JobError):
    """No arrow leads from this state by this event."""


class LeaseLost(JobError):
    """The fencing token is out of date: another worker owns the job now."""


class BundleError(NodeError):
    """A model bundle is missing, damaged or not what its digest says."""


class ImportRefusal(StrEnum):
    """Coded reasons why a foreign bundle is not imported; :meth:`sentence` is what a person reads."""

    NO_BUNDLE = "no_bundle"
    UNSAFE_ARCHIVE = "unsafe_archive"
    NO_METADATA = "no_metadata"
    BAD_METADATA = "bad_metadata"
    NO_CONFIG = "no_inference_config"
    NOT_TRUSTED = "not_trusted"
    OTHER_FILE = "other_file"
    FORBIDDEN = "forbidden"
    UNKNOWN_TASK = "unknown_task"
    NOT_CT = "not_ct"
    INPUT_CHANNELS = "input_channels"
    TOO_MANY_CHANNELS = "too_many_channels"
    UNKNOWN_CHANNEL = "unknown_channel"
    UNKNOWN_CODE = "unknown_code"
    MISSING_PART = "missing_part"
    NO_DECISION = "no_decision"
    NO_WEIGHTS = "no_weights"
    TORCHSCRIPT = "torchscript"
    UNSAFE_WEIGHTS = "unsafe_weights"
    WEIGHTS_DO_NOT_FIT = "weights_do_not_fit"
    NO_FILE = "no_file"
    OTHER_NETWORK = "other_network"
    MIXED_MEMBERS = "mixed_members"
    CANNOT_BUILD = "cannot_build"
    CANNOT_RUN = "cannot_run"
    CHANNELS_DIFFER = "channels_differ"
    NAME_TAKEN = "name_taken"
    BAD_NAME = "bad_name"

    def sentence(self) -> str:
        """What a person reads, and what would be needed."""
        return _IMPORT_SENTENCES[self]


_IMPORT_SENTENCES: dict[ImportRefusal, str] = {
    ImportRefusal.NO_BUNDLE: "Neither a folder nor a zip file with a MONAI bundle in it.",
    ImportRefusal.UNSAFE_ARCHIVE: "The zip file holds links, paths outside itself, or far more than a bundle.",
    ImportRefusal.NO_METADATA: "configs/metadata.json is missing.",
    ImportRefusal.BAD_METADATA: "configs/metadata.json lacks what the node must know.",
    ImportRefusal.NO_CONFIG: "configs/inference.json is missing or no JSON; YAML is not read.",
    ImportRefusal.NOT_TRUSTED: "A bundle's configuration is code that runs on this node. Read it, then give --trust.",
    ImportRefusal.OTHER_FILE: "The configuration takes text from another file (%), which nobody would have read.",
    ImportRefusal.FORBIDDEN: "The configuration does more than build networks, transforms and inferers.",
    ImportRefusal.UNKNOWN_TASK: "The metadata describe neither a segmentation nor a classification.",
    ImportRefusal.NOT_CT: "The metadata name another modality than CT.",
    ImportRefusal.INPUT_CHANNELS: "The network reads more than one channel; the node has one CT in Hounsfield units.",
    ImportRefusal.TOO_MANY_CHANNELS: "More classes than the node maps by itself; choose some with --finding.",
    ImportRefusal.UNKNOWN_CHANNEL: "An option names a channel that the metadata do not have.",
    ImportRefusal.UNKNOWN_CODE: "A code is neither a word that the node knows nor VALUE,SCHEME,MEANING.",
    ImportRefusal.MISSING_PART: "configs/inference.json lacks a part that the node needs.",
    ImportRefusal.NO_DECISION: "The postprocessing does not say how voxels are judged: softmax, sigmoid or AsDiscrete.",
    ImportRefusal.NO_WEIGHTS: "There are no weights: models/model.safetensors or models/model.pt.",
    ImportRefusal.TORCHSCRIPT: "TorchScript is compiled code, not weights. Export a state dict as models/model.pt.",
    ImportRefusal.UNSAFE_WEIGHTS: "The weights file holds more than tensors, or is damaged; it was not unpickled.",
    ImportRefusal.WEIGHTS_DO_NOT_FIT: "The weights do not fit the network of configs/inference.json.",
    ImportRefusal.NO_FILE: "The layout wants files of weights, one a network.",
    ImportRefusal.OTHER_NETWORK: "The weights are those of another network than the layout is for.",
    ImportRefusal.MIXED_MEMBERS: "The files make no ensemble: give files of one set and one form, each once.",
    ImportRefusal.CANNOT_BUILD: "MONAI cannot build what configs/inference.json says.",
    ImportRefusal.CANNOT_RUN: "A trial run on a small volume failed.",
    ImportRefusal.CHANNELS_DIFFER: "The network gives another number of channels than the metadata say.",
    ImportRefusal.NAME_TAKEN: "A model of this name is here already; give another with --name.",
    ImportRefusal.BAD_NAME: "A name is made of lower-case letters, digits and _, and begins with a letter.",
}


class BundleRefused(BundleError):
    """A foreign bundle cannot be imported; nothing was left behind.

    Parameters
    ----------
    refusal : the coded reason.
    detail : what was seen.
    """

    def __init__(self, refusal: ImportRefusal, detail: str = "") -> None:
        super().__init__(f"{refusal.value}: {refusal.sentence()}{' ' + detail if detail else ''}")
        self.refusal = refusal
        self.detail = detail


class InferenceError(NodeError):
    """A model failed on this input."""

    retryable = True


class DeviceMissing(InferenceError):
    """The device that was asked for is not there: no card, no driver, or a torch that is built for the CPU."""


class WorkerCrashed(InferenceError):
    """The worker process died during a run.

    Parameters
    ----------
    by_signal : that ended it; 0 where it ended otherwise.
    """

    def __init__(self, message: str, by_signal: int = 0) -> None:
        super().__init__(message)
        self.by_signal = by_signal


class RunTimedOut(InferenceError):
    """The watchdog killed the worker: the run took longer than ``run_timeout_s``."""


class TrainingError(NodeError):
    """A training cannot go on; the message says what to change."""


class BackupRefusal(StrEnum):
    """Coded reasons why a backup is not made or not brought back; :meth:`sentence` is what a person reads."""

    FILE_EXISTS = "file_exists"
    NO_BACKUP = "no_backup"
    DAMAGED = "damaged"
    OTHER_DATABASE = "other_database"
    NOT_EMPTY = "not_empty"
    NEWER = "newer"

    def sentence(self) -> str:
        """What a person reads, and what would be needed."""
        return _BACKUP_SENTENCES[self]


_BACKUP_SENTENCES: dict[BackupRefusal, str] = {
    BackupRefusal.FILE_EXISTS: "The file is there already; give another name.",
    BackupRefusal.NO_BACKUP: "This is no backup of dicomnode.",
    BackupRefusal.DAMAGED: "The backup is damaged: a file of it is missing or differs from its digest.",
    BackupRefusal.OTHER_DATABASE: "The backup is of another kind of database than database.url names.",
    BackupRefusal.NOT_EMPTY: "There is a node already: name an empty node.data_dir, and an empty database.",
    BackupRefusal.NEWER: "The backup was made by a newer version of dicomnode: install that version.",
}


class BackupRefused(NodeError):
    """A backup is not made, or not brought back; nothing was changed.

    Parameters
    ----------
    refusal : the coded reason.
    detail : what was seen.
    """

    def __init__(self, refusal: BackupRefusal, detail: str = "") -> None:
        super().__init__(f"{refusal.value}: {refusal.sentence()}{' ' + detail if detail else ''}")
        self.refusal = refusal
        self.detail = detail


class ExportRefusal(StrEnum):
    """Coded reasons why a case is not exported; :meth:`sentence` is what a person reads."""

    NO_ANALYSIS = "no_analysis"
    NO_IMAGES = "no_images"
    BURNED_IN = "burned_in"
    HIDDEN_OVERLAY = "hidden_overlay"
    UNREADABLE = "unreadable"
    STILL_NAMED = "still_named"
    FILE_EXISTS = "file_exists"

    def sentence(self) -> str:
        """What a person reads, and what would be needed."""
        return _EXPORT_SENTENCES[self]


_EXPORT_SENTENCES: dict[ExportRefusal, str] = {
    ExportRefusal.NO_ANALYSIS: "The job is a note about results; name the analysis that it is about.",
    ExportRefusal.NO_IMAGES: "The images are not there any more, or not all of them: their retention is over.",
    ExportRefusal.BURNED_IN: "An image says that text is burned into its pixels (BurnedInAnnotation).",
    ExportRefusal.HIDDEN_OVERLAY: "An image hides an overlay in unused bits of its pixels, which may name the patient.",
    ExportRefusal.UNREADABLE: "A file cannot be read, so that nobody knows what it says of the patient.",
    ExportRefusal.STILL_NAMED: "After the clean-up an attribute that the profile keeps still names the patient.",
    ExportRefusal.FILE_EXISTS: "The file is there already; give another name.",
}


class ExportRefused(NodeError):
    """A case is not exported; nothing was written.

    Parameters
    ----------
    refusal : the coded reason.
    detail : what was seen; never a patient's value.
    """

    def __init__(self, refusal: ExportRefusal, detail: str = "") -> None:
        super().__init__(f"{refusal.value}: {refusal.sentence()}{' ' + detail if detail else ''}")
        self.refusal = refusal
        self.detail = detail


class EncodeError(NodeError):
    """Findings could not be written as a valid object; nothing is sent."""


_SOP_CLASS_NOT_SUPPORTED = 0x0122  # DICOM PS3.7 annex C; dicom.statuses ranks above this module


class WebError(NodeError):
    """An HTTP server gave no answer that can be used; the message names neither a query nor a secret."""

    retryable = True


class NoConnection(WebError):
    """The server cannot be reached."""


class NoWholeAnswer(WebError):
    """The connection was lost, or the answer did not come whole and in time."""


class AnswerTooLong(WebError):
    """The answer is longer than the node reads."""

    retryable = False


class NoCredentials(WebError):
    """The node has nothing to show who it is: its secret cannot be read, or the token server gives no token."""


class NotifyError(NodeError):
    """A message to people did not arrive."""


class ReportRefused(NotifyError):
    """A system would not have the report of a finding, and would not have it later."""


class DeliveryError(NodeError):
    """A destination did not take a result."""

    retryable = True
    refuses_class = False
    """Whether it takes no instance of this SOP class, whatever it holds."""
    leaves_open = False
    """Whether the destination may have stored it all the same."""


class AssociationRejected(DeliveryError):
    """No association or connection, or no accepted presentation context."""


class NotAdmitted(AssociationRejected):
    """The peer was reached, but rejected the association or ended it while it was negotiated."""


class OutcomeUnknown(AssociationRejected):
    """The result was sent, in part at least, and no answer came: before it is sent again, the destination is asked."""

    leaves_open = True


class DestinationUnavailable(AssociationRejected):
    """A DICOMweb server takes nothing at all now: no connection, credentials refused, wrong path, overload.

    Parameters
    ----------
    retry_after_s : how long it asks to be left alone; 0: it did not say.
    leaves_open : whether what was sent may have been stored: a proxy waited in vain for the server behind it.
    """

    def __init__(self, message: str, retry_after_s: float = 0.0, *, leaves_open: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.leaves_open = leaves_open


class ClassNotAccepted(AssociationRejected):
    """The presentation context of the SOP class was rejected: no instance of it is taken."""

    refuses_class = True


class ResultAway(DeliveryError):
    """The bytes cannot be read from the node's own disk now; the destination has nothing to do with it."""


class ResultDamaged(DeliveryError):
    """The bytes on disk are not those that were encoded; they are never sent, and no retry mends them."""

    retryable = False


class StoreRefused(DeliveryError):
    """C-STORE or STOW-RS answered with a failure status.

    Parameters
    ----------
    status : DIMSE status (DICOM PS3.4 B.2.3), or the FailureReason of STOW-RS, which takes the same values.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
        self.refuses_class = status == _SOP_CLASS_NOT_SUPPORTED
