"""``/metrics`` on the web port: for an installation of one web process that can be reached no other way.

There is none without METRICS_TOKEN. Behind a load balancer it tells of whichever process was asked: METRICS_PORT gives
each a port of its own (lib/metrics/serving.py).
"""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chatbot_project.lib.metrics.serving import may_read, page


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """All metrics of this process for whoever shows the token, 401 for all others."""
    if not settings.METRICS_TOKEN:
        raise Http404
    if not may_read(request.headers.get("Authorization", ""), settings.METRICS_TOKEN):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"}, content_type="text/plain")
    body, content_type = page(request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=content_type)
