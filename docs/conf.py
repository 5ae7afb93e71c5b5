"""How ``make docs`` makes pages of these documents (Sphinx). They read as well without it, as files."""

project = "Nono"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["examples"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # headings are named in addresses as GitHub names them
myst_fence_as_directive = ["toctree"]
# Pages also lead to files of the repository that are no pages; a test looks that each is there (test_docs_commands.py).
suppress_warnings = ["myst.xref_missing"]
html_theme = "furo"
html_title = "Nono"
html_show_copyright = False
