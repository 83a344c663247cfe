"""What MkDocs is told about this repository.

README, CONTRIBUTING, CHANGELOG and the cards of the models are pages as they stand; the reference is one page for each list
of public names, made when the site is built; links that leave docs/ lead to a copy of the file that they name.
"""

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
PAGES = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "models.md": "jaxdiff/models/README.md",
}
"""Page -> the file of the repository that it is."""

LISTS = {
    "process.schedules": "Schedules",
    "process.grids": "Grids",
    "solvers": "Solvers",
    "denoiser": "Denoisers",
    "network": "What a network is",
    "predictions": "Predictions",
    "guidance": "Guidance",
    "guidance.posterior": "Posterior sampling",
    "sampling": "Sampling",
    "conformance": "Conformance",
    "tuning": "Tuning",
    "nn": "Networks",
    "training": "Training",
    "training.objective": "Losses",
    "training.config": "Configuration of a run",
    "data.config": "Configuration of data",
    "data.files.read": "Reading images",
    "data.files.write": "Writing images",
    "data.prepared.prepare": "Prepared data",
    "model": "Models",
    "loading": "Loading runs",
    "shipped": "Models that come with jaxdiff",
    "tasks": "Tasks",
    "metrics": "Metrics",
    "physics": "Physics",
    "physics.psf": "Point spread functions",
    "physics.operators": "Operators",
    "analytic": "Analytic models",
    "bulk": "Bulk runs",
    "interop": "Interoperation",
    "references": "Citation",
}
"""Modules of the reference, and their titles."""

LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(\))")


def on_files(files, config):
    """Adds the pages that are not in docs/, and the files that pages link to."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for module, title in LISTS.items():
        files.append(File.generated(config, f"api/{module}.md", content=_reference(module, title)))
    files.append(File.generated(config, "api/index.md", content=_index()))
    linked = {path for file in files.documentation_pages() for path in _links(file)}
    for path in sorted(linked):
        files.append(File.generated(config, f"repository/{path}.txt", abs_src_path=str(ROOT / path)))
    return files


def on_config(config):
    """The lists of the reference, in their order, under its entry of the navigation."""
    pages = ["api/index.md", *(f"api/{module}.md" for module in LISTS)]
    config.nav = [{"Reference": pages} if entry == {"Reference": "api/"} else entry for entry in config.nav]
    return config


def on_page_markdown(markdown, page, config, files):
    """Links of the file where it lies become links of the page."""
    here = posixpath.dirname(page.file.src_uri)

    def moved(match):
        target = _target(page.file.src_uri, match[2])
        return match[1] + (posixpath.relpath(target, here or ".") if target else match[2]) + (match[3] or "") + match[4]

    return LINK.sub(moved, markdown)


def _source(page: str) -> str:
    """The file of the repository that a page is."""
    return PAGES.get(page, f"docs/{page}")


def _target(page: str, link: str) -> str | None:
    """The page or file of the site that a link of a page leads to; None where there is no such file."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(_source(page)), link))
    for name, source in PAGES.items():
        if path == source:
            return name
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"repository/{path}.txt" if (ROOT / path).is_file() else None


def _links(file) -> set[str]:
    """Files of the repository outside docs/ that a page links to."""
    targets = {_target(file.src_uri, match[2]) for match in LINK.finditer(file.content_string)}
    return {t.removeprefix("repository/").removesuffix(".txt") for t in targets if t and t.startswith("repository/")}


def _names(module: str) -> list[str]:
    """Full names of what a module lists: its `from … import NAME as NAME`, or else the public names it defines."""
    path = ROOT / "jaxdiff" / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    body = ast.parse(path.read_text(encoding="utf-8")).body
    listed = [
        f"{node.module}.{alias.name}"
        for node in body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    ]
    defined = [
        f"jaxdiff.{module}.{node.name}"
        for node in body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    return listed or defined


def _reference(module: str, title: str) -> str:
    """A page of one list."""
    head = f"# {title}\n\n::: jaxdiff.{module}\n    options: {{members: false, show_root_heading: false}}\n"
    return head + "".join(f"\n::: {name}\n" for name in _names(module))


def _index() -> str:
    """Names that `jd.NAME` knows."""
    text = (ROOT / "jaxdiff" / "public.py").read_text(encoding="utf-8")
    names = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxdiff"):
            names |= {a.name: f"{node.module}.{a.name}" for a in node.names if a.asname == a.name and a.name[0] != "_"}
    lists = "\n".join(f"* [{title}]({module}.md): `jaxdiff.{module}`" for module, title in LISTS.items())
    known = {name.rsplit(".", 1)[1]: module for module in LISTS for name in _names(module)}
    rows = [f"[`jd.{name}`]({known[name]}.md)" if name in known else f"`jd.{name}`" for name in sorted(names)]
    return f"# Reference\n\nWritten from the docstrings.\n\n{lists}\n\n`import jaxdiff as jd` gives\n\n{', '.join(rows)}.\n"
