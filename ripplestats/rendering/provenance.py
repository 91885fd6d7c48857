"""What a run used, in words that every table, figure and summary repeats."""

from typing import Any


def provenance(manifest: dict[str, Any]) -> str:
    """Return model and dataset really used, and what was asked for where that differs."""
    return _used(manifest, "")


def stated(manifest: dict[str, Any]) -> str:
    """Return what a caption states: model, revision, dataset really used, and date."""
    revision = manifest["model"]["revision"]
    return f"{_used(manifest, f', revision {revision}' if revision else '')}, {manifest['created'][:10]}"


def counted(manifest: dict[str, Any], counts: tuple[int, int] | None = None) -> str:
    """Return number format, prompts and documents (by default all of the run), for a note below such a caption."""
    dataset = manifest["dataset"]
    prompts, documents = counts or (dataset["n_prompts"], dataset["n_documents"])
    return f"{manifest['model']['dtype']}; {prompts} prompts in {documents} documents (the clusters)."


def details(manifest: dict[str, Any], counts: tuple[int, int] | None = None) -> str:
    """Return all of that, for a note below a caption that states nothing of the run."""
    revision = manifest["model"]["revision"]
    stated = f"{_used(manifest, '')}; {f'revision {revision}, ' if revision else ''}"
    return f"{stated}{counted(manifest, counts).removesuffix('.')}; {manifest['created'][:10]}."


def _used(manifest: dict[str, Any], after_model: str) -> str:
    model, dataset = manifest["model"], manifest["dataset"]
    parts = [f"Model {model['used']}"]
    if model["fallback"]:
        parts.append(f" (not {model['requested']}: the hub could not be reached)")
    parts.append(f"{after_model}, dataset {dataset['used']}")
    if dataset["fallback"]:
        parts.append(f" (not {dataset['requested']}: the hub could not be reached)")
    return "".join(parts)
