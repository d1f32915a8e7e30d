// "Try it out" asks the service where this page comes from, whatever proxies are on the way: the
// document may name another address, which the page's own policy would not let it ask.
const here = new URL(".", location.href).href.replace(/\/$/, "");

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // the default sends the document's address to a service elsewhere
  responseInterceptor: (response) => {
    if (response.url === `${here}/openapi.json` && response.ok) {
      const document = JSON.parse(response.text);
      response.text = JSON.stringify({ ...document, servers: [{ url: here }] });
    }
    return response;
  },
});
