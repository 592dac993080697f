"""Reports: blocks of data, and one renderer a medium."""

from tunebook.report.base import Report as Report
from tunebook.report.html import render_html as render_html
from tunebook.report.markdown import render_markdown as render_markdown
from tunebook.report.terminal import render_terminal as render_terminal
