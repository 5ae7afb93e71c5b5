// Starts Swagger UI or ReDoc, whichever script the page has loaded, on the API's schema.

const root = document.querySelector("[data-swagger], [data-redoc]");

if (root.dataset.swagger) {
  window.SwaggerUIBundle({
    url: root.dataset.swagger,
    domNode: root,
    deepLinking: true,
    persistAuthorization: false,
    // The schema is checked by our own tests, not by a service that would be sent it.
    validatorUrl: null,
    requestInterceptor(request) {
      const sameOrigin = new URL(request.url, document.baseURI).origin === window.location.origin;
      if (sameOrigin && request.method && !["GET", "HEAD"].includes(request.method)) {
        request.headers["X-CSRFToken"] = root.dataset.csrf;
      }
      return request;
    },
  });
} else {
  window.Redoc.init(root.dataset.redoc, { nativeScrollbars: true, hideDownloadButton: false }, root);
}
