"""Defines every error that MuDaR raises on purpose, in one tree. Light: imports nothing.

MudarError
├── MediaError                what is wrong with a file
│   ├── EmptyFile · UnreadableMedia · TruncatedMedia · MediaTooShort
│   ├── MediaTooLong · PictureTooLarge · UploadTooLarge
│   ├── NoVideoStream · NoAudioStream
│   └── SilentAudio · StillVideo
├── ProbeFailed               what went wrong on our side before we knew a file
│   └── ProbeTimeout
├── BadRequest                what is wrong with a question
│   ├── OutOfRange · UnknownMethod · WrongKind
│   └── UnknownItem · UnknownJob · UnknownModel · NotReady · EmptyLibrary
├── RetargetRefused           no acceptable warp exists
├── ModelError                a checkpoint that must not be served
│   └── ChecksumMismatch · CardInvalid · WorseThanServed
├── UnreadableItem            what the library stored of an item cannot be read back
└── JobError                  how a job ended other than well
    └── Cancelled · ItemDeleted · WorkerLost · LeaseLost · JobTimeout · StorageFull · BrokerUnavailable

A leaf's `code` is stable: clients may rely on it. `hint` says what to do about it.
HTTP statuses are the front door's business (service/errors.py), not ours.
"""

from __future__ import annotations


class MudarError(Exception):
    """Is the root of the tree; `code` is stable, `detail` is for people, `hint` says what to do."""

    code = "mudar_error"
    hint = ""

    def __init__(self, detail: str = "", *, hint: str | None = None) -> None:
        super().__init__(detail or (self.__doc__ or self.code))
        self.detail = detail or (self.__doc__ or self.code)
        if hint is not None:
            self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Survives the trip between processes with code, detail and hint intact."""
        return (_rebuild, (type(self), self.detail, self.hint))


def _rebuild(kind: type[MudarError], detail: str, hint: str) -> MudarError:
    return kind(detail, hint=hint)


def from_code(code: str, detail: str, hint: str = "") -> MudarError:
    """Makes the error of the tree with this `code` (MudarError itself if the code is unknown)."""
    todo: list[type[MudarError]] = [MudarError]
    while todo:
        kind = todo.pop()
        if kind.code == code:
            return kind(detail, hint=hint)
        todo.extend(kind.__subclasses__())
    return MudarError(detail, hint=hint)


class MediaError(MudarError):
    """The file cannot be used."""

    code = "media_error"
    hint = "Send a video or a piece of music in a common format (mp4, mov, webm, wav, mp3, ogg, flac)."


class EmptyFile(MediaError):
    """The file has no bytes."""

    code = "empty_file"
    hint = "Check that the upload finished and the file is not empty."


class UnreadableMedia(MediaError):
    """The file is not a video or a piece of music that we can read."""

    code = "unreadable_media"


class TruncatedMedia(MediaError):
    """The file ends before its media do."""

    code = "truncated_media"
    hint = "Upload the whole file again; it was cut off on the way or when it was written."


class MediaTooShort(MediaError):
    """There is too little media to find a rhythm in."""

    code = "media_too_short"
    hint = "Send a longer recording."


class MediaTooLong(MediaError):
    """The media is longer than this service takes."""

    code = "media_too_long"
    hint = "Cut it into shorter pieces, or raise MUDAR_MAX_DURATION_S."


class PictureTooLarge(MediaError):
    """The picture has more pixels than this service takes."""

    code = "picture_too_large"
    hint = "Scale the video down (up to 8192x8192 in all), or raise MUDAR_MAX_PIXELS."


class UploadTooLarge(MediaError):
    """The upload is larger than this service takes."""

    code = "upload_too_large"
    hint = "Send a smaller file, or raise MUDAR_MAX_UPLOAD_MB."


class NoVideoStream(MediaError):
    """A dance needs a picture, and this file has none."""

    code = "no_video_stream"
    hint = "Send a video, or say kind=music."


class NoAudioStream(MediaError):
    """A piece of music needs sound, and this file has none."""

    code = "no_audio_stream"
    hint = "Send a file with sound, or say kind=dance."


class SilentAudio(MediaError):
    """The sound is silent, so it has no rhythm."""

    code = "silent_audio"
    hint = "Check that the recording has sound in it."


class StillVideo(MediaError):
    """Nothing moves in the picture, so it has no rhythm."""

    code = "still_video"
    hint = "Send a video in which somebody dances."


class ProbeFailed(MudarError):
    """We could not find out what the file holds; that is a fault of ours and not of the file."""

    code = "probe_failed"
    hint = "Try again; if it fails the same way, report it with the file."


class ProbeTimeout(ProbeFailed):
    """There was no time to look into the file, because the machine is busy."""

    code = "probe_timeout"
    hint = "Send it again in a while."


class BadRequest(MudarError):
    """The question cannot be answered as it was put."""

    code = "bad_request"
    hint = "See /docs for what this call takes."


class OutOfRange(BadRequest):
    """A number lies outside the range that makes sense."""

    code = "out_of_range"


class UnknownMethod(BadRequest):
    """There is no retargeting method of this name."""

    code = "unknown_method"
    hint = "Use dtw, acceleration, shift or paper_dtw."


class WrongKind(BadRequest):
    """A dance was given where music is needed, or the other way round."""

    code = "wrong_kind"


class UnknownItem(BadRequest):
    """There is no item with this id."""

    code = "unknown_item"
    hint = "List what is in the library with GET /items."


class UnknownJob(BadRequest):
    """There is no job with this id."""

    code = "unknown_job"


class UnknownModel(BadRequest):
    """There is no model of this name."""

    code = "unknown_model"
    hint = "List the models with GET /models."


class NotReady(BadRequest):
    """The item has not been embedded yet, or its job failed."""

    code = "not_ready"
    hint = "Wait for its job: GET /jobs/{id}?wait=30."


class NoIndex(BadRequest):
    """Nothing in the library was embedded with this model, so there is nothing to search."""

    code = "no_index"
    hint = "Embed the library with this model (POST /embed with model=...), or ask without `model`."


class EmptyLibrary(BadRequest):
    """There is nothing in the library to compare with."""

    code = "empty_library"
    hint = "Embed some items of the other kind first: POST /embed."


class RetargetRefused(MudarError):
    """No acceptable warp of this dance onto this music exists within the limits."""

    code = "retarget_refused"
    hint = "Widen min_speed and max_speed, or take another song."


class ModelError(MudarError):
    """A checkpoint cannot be served."""

    code = "model_error"


class ChecksumMismatch(ModelError):
    """The weights are not the ones that the card describes."""

    code = "checksum_mismatch"
    hint = "Fetch or publish the checkpoint again."


class CardInvalid(ModelError):
    """The card of a checkpoint cannot be read."""

    code = "card_invalid"


class WorseThanServed(ModelError):
    """The checkpoint is worse than the one that is served."""

    code = "worse_than_served"


class UnreadableItem(MudarError):
    """What the library has stored of an item cannot be read."""

    code = "unreadable_item"
    hint = "Delete the item (DELETE /items/{id}) and send its file again; the log says what is wrong with it."


class JobError(MudarError):
    """The job did not end well."""

    code = "job_error"
    hint = "Try again; if it fails the same way, report it with the job's id."


class Cancelled(JobError):
    """The job was cancelled on request."""

    code = "cancelled"
    hint = ""


class ItemDeleted(JobError):
    """The item was deleted while its job ran."""

    code = "item_deleted"
    hint = "Embed the file again if you still want it."


class WorkerLost(JobError):
    """The worker died while it ran the job, more often than we try again."""

    code = "worker_lost"


class LeaseLost(JobError):
    """The job is no longer this worker's: its lease ran out and somebody else has it, or it has ended."""

    code = "lease_lost"
    hint = ""


class JobTimeout(JobError):
    """The job took longer than its media justify."""

    code = "job_timeout"


class StorageFull(JobError):
    """There is no room left on the disk."""

    code = "storage_full"
    hint = "Free some disk space under MUDAR_DATA_DIR and try again; nothing was lost."


class IndexUnavailable(MudarError):
    """The engine that searches cannot be reached, or refuses."""

    code = "index_unavailable"
    hint = "Nothing is lost: the library is in the database, and search comes back with the engine at MUDAR_INDEX_URL."


class BrokerUnavailable(JobError):
    """The queue cannot be reached just now; the job is kept and starts when it can."""

    code = "broker_unavailable"
    hint = "Nothing is lost: the job is stored and will be queued as soon as Redis answers."
