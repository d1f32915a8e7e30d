"""`hunyuan models`: list, download, verify and quantise the models on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from rich.filesize import decimal
from rich.progress import Progress

from hunyuan_runner.catalogue import (
    FAST_DECODERS,
    HUNYUAN_LICENCE,
    MODELS,
    FastDecoder,
    Model,
)
from hunyuan_runner.cli.connection import EXIT_INTERRUPTED, EXIT_REFUSED, complain
from hunyuan_runner.cli.display import err, out, show
from hunyuan_runner.cli.server import server_settings
from hunyuan_runner.cli.tables import Listing
from hunyuan_runner.families.configuration import QUANTIZED_TRANSFORMER, TRANSFORMER


def _known(model_id: str | None) -> str | None:
    if model_id is not None and model_id not in _IDS:
        raise typer.BadParameter(f"must be one of {', '.join(_IDS)}")
    return model_id


_IDS = [*MODELS, *FAST_DECODERS]
_MODEL = typer.Argument(
    metavar="MODEL",
    callback=_known,
    autocompletion=lambda: _IDS,
    help="A model or fast decoder, as `hunyuan models list` names it.",
)
ModelId = Annotated[str, _MODEL]
ModelsDir = Annotated[
    Path | None, typer.Option(help="The folder for models; default: HUNYUAN_MODELS_DIR.")
]
AcceptLicence = Annotated[
    bool, typer.Option("--accept-licence", help="You have read the licence and accept it.")
]
Quantise = Annotated[
    Literal["int8"] | None,
    typer.Option(help="Also store the transformer in int8, which starts faster in less memory."),
]
Revision = Annotated[
    str | None,
    typer.Option(help="The commit, tag or branch to fetch; default: the tested commit."),
]

models = typer.Typer(
    rich_markup_mode=None, help="Manage the models on this machine.", no_args_is_help=True
)


@models.command("list")
def list_models(models_dir: ModelsDir = None) -> None:
    """List the models and fast decoders, and say which are installed."""
    table = Listing("model", "on disk", "parameters", "licence", "title")
    for model in MODELS.values():
        parameters = f"{model.parameters / 1e6:,.0f} M"
        on_disk = _size_on_disk(_folder_of(model, models_dir))
        table.add(model.id, on_disk, parameters, model.licence, model.title)
    for decoder in FAST_DECODERS.values():
        file = decoder.file_in(_models_dir(models_dir))
        on_disk = decimal(file.stat().st_size) if file.is_file() else "not installed"
        parameters = f"{decoder.parameters / 1e6:,.0f} M"
        table.add(decoder.id, on_disk, parameters, decoder.licence, decoder.title)
    show(table)


def _size_on_disk(folder: Path) -> str:
    from hunyuan_runner.models.folder import bytes_in, is_installed

    return decimal(bytes_in(folder)) if is_installed(folder) else "not installed"


@models.command()
def download(
    model_id: ModelId,
    accept_licence: AcceptLicence = False,
    quantise: Quantise = None,
    models_dir: ModelsDir = None,
    revision: Revision = None,
) -> None:
    """Fetch a model and check it. An interrupted download resumes where it stopped."""
    if (decoder := FAST_DECODERS.get(model_id)) is not None:
        for option, value in (("--revision", revision), ("--quantise", quantise)):
            if value is not None:
                raise typer.BadParameter("is for models, not for decoders", param_hint=option)
        _install_decoder(decoder, decoder.file_in(_models_dir(models_dir)))
        return
    model = MODELS[model_id]
    if revision is not None:
        model = replace(model, revision=revision)
    _install(model, _models_dir(models_dir) / model.id, accept_licence)
    if quantise is not None:
        quantise_model(model_id, models_dir)


@models.command()
def verify(model_id: ModelId, models_dir: ModelsDir = None) -> None:
    """Check the files of an installed model."""
    if (decoder := FAST_DECODERS.get(model_id)) is not None:
        _verify_decoder(decoder, decoder.file_in(_models_dir(models_dir)))
        return
    folder = _folder_of(MODELS[model_id], models_dir)
    from hunyuan_runner.models.checking import listed, problems_of
    from hunyuan_runner.models.folder import is_installed

    if not is_installed(folder):
        _refuse(f"{model_id} is not installed in {folder.parent}")
    if problems := problems_of(folder):
        _refuse(listed(problems))
    out.print(f"{model_id} is complete")


@models.command("quantise")
def quantise_model(model_id: ModelId, models_dir: ModelsDir = None) -> None:
    """Add the int8 form to an installed model."""
    if model_id in FAST_DECODERS:
        _refuse(f"{model_id} is a decoder, which has no int8 form")
    folder = _folder_of(MODELS[model_id], models_dir)
    if (folder / QUANTIZED_TRANSFORMER).exists():
        out.print(f"{model_id} is already in int8: {folder / QUANTIZED_TRANSFORMER}")
        return
    _quantise(folder)
    out.print(
        f"{model_id} is now in int8: {folder / QUANTIZED_TRANSFORMER}. If you need no other "
        f"precision, you can delete {folder / TRANSFORMER}.",
        soft_wrap=True,
    )


def download_models(
    model_id: Annotated[str | None, _MODEL] = None,
    list_them: Annotated[bool, typer.Option("--list", help="List the models.")] = False,
    verify_it: Annotated[
        bool, typer.Option("--verify", help="Check an installed model instead.")
    ] = False,
    accept_licence: AcceptLicence = False,
    quantise: Quantise = None,
    models_dir: ModelsDir = None,
    revision: Revision = None,
) -> None:
    """Fetch, check, quantise and list models, as `hunyuan models` does with a command for each."""
    if list_them:
        list_models(models_dir)
    elif model_id is None:
        raise typer.BadParameter(f"must be one of {', '.join(_IDS)}", param_hint="MODEL")
    elif verify_it:
        verify(model_id, models_dir)
    elif quantise is not None and model_id in MODELS and MODELS[model_id].repo is None:
        quantise_model(model_id, models_dir)
    else:
        download(model_id, accept_licence, quantise, models_dir, revision)


def _models_dir(chosen: Path | None) -> Path:
    return chosen or server_settings().models_dir


def _folder_of(model: Model, models_dir: Path | None) -> Path:
    """Where the model is, or would be: in the folder for models, or in the package."""
    settings = server_settings()
    chosen = models_dir or settings.models_dir
    return settings.model_copy(update={"models_dir": chosen}).model_dir(model.id)


def _install(model: Model, folder: Path, accept_licence: bool) -> None:
    from hunyuan_runner.downloads import partial_folder
    from hunyuan_runner.models.folder import is_installed, obstacle
    from hunyuan_runner.models.hub import DownloadFailed, fetch
    from hunyuan_runner.models.licence import TERMS

    if is_installed(folder):
        out.print(f"{model.id} is installed: {folder}", soft_wrap=True)
        return
    if model.repo is None:
        _refuse(f"{model.id} cannot be downloaded. It comes with hunyuan-runner.")
    if model.licence == HUNYUAN_LICENCE and not accept_licence:
        out.print(TERMS.format(title=model.title), soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED)
    if problem := obstacle(folder):
        _refuse(f"{model.id} cannot be put into {folder}: {problem}")
    folder = folder.resolve()  # a link leads to where there is room
    partial = partial_folder(folder)
    try:
        fetch(model.repo, model.revision, partial, folder, err.print, model.transformer)
    except DownloadFailed as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        err.print(
            f"Stopped. Run this again to go on. What has been fetched is in {partial}",
            soft_wrap=True,
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None
    out.print(f"{model.id} is installed: {folder}", soft_wrap=True)


def _install_decoder(decoder: FastDecoder, file: Path) -> None:
    from hunyuan_runner.downloads import partial_folder
    from hunyuan_runner.models.checking import altered
    from hunyuan_runner.models.hub import DownloadFailed, fetch_fast_decoder

    folder = file.parent.resolve()
    if not file.is_file() or altered(folder):
        try:
            fetch_fast_decoder(decoder, partial_folder(folder), folder, err.print)
        except DownloadFailed as error:
            _refuse(str(error))
    out.print(f"{decoder.id} is installed: {folder}", soft_wrap=True)


def _verify_decoder(decoder: FastDecoder, file: Path) -> None:
    from hunyuan_runner.models.checking import listed, problems_of_decoder

    if not file.is_file():
        _refuse(f"{decoder.id} is not installed in {file.parent.parent}")
    if problems := problems_of_decoder(decoder, file.parent):
        _refuse(listed(problems))
    out.print(f"{decoder.id} is complete")


def _quantise(folder: Path) -> None:
    from hunyuan_runner.models.quantising import NotQuantised, quantise

    try:
        with Progress(console=err) as progress:
            task = progress.add_task("quantising", total=None)
            quantise(folder, lambda done, of: progress.update(task, completed=done, total=of))
    except NotQuantised as error:
        _refuse(str(error))


def _refuse(message: str) -> NoReturn:
    """Print an error, each of its lines as it is, and end the command."""
    first, *more = message.splitlines()
    complain(first)
    for line in more:
        err.print(line, soft_wrap=True)
    raise typer.Exit(EXIT_REFUSED)
