"""The JSON API: which address below ``/api/`` is answered by what."""

from django.urls import re_path

from chatbot_project.lib.api.errors import not_found_view

# Each app's part is included here, below v1/.
v1_patterns: list[object] = []

urlpatterns = [
    re_path(r"^(?P<rest>.*)$", not_found_view),  # last: no address of the API is answered with a page
]
