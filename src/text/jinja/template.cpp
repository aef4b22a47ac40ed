#include "text/jinja/template.h"

#include "text/jinja/lexer.h"
#include "text/jinja/parser.h"
#include "text/jinja/strings.h"

namespace kvcomm::jinja {

Template::Template(std::string_view source) : source_(with_plain_newlines(source)) {
  try {
    body_ = Parser(tokenize(source_)).parse();
  } catch (const SyntaxError& error) {
    throw failure(error.what, error.line);
  }
}

std::string Template::render(std::map<std::string, Value> variables) const {
  Rendering rendering{.variables = std::move(variables), .scopes = {}};
  std::string text;
  Frame outermost{rendering, nullptr, &text};
  Frame frame = outermost.inside();
  try {
    run(body_, frame);
  } catch (const TemplateError& error) {
    throw failure(error.what(), rendering.line);
  }
  return text;
}

Failure Template::failure(std::string what, int line) const {
  size_t start = 0;
  for (int i = 1; i < line; ++i) start = source_.find('\n', start) + 1;
  const std::string_view text = std::string_view(source_).substr(start);
  return {std::move(what), line, strip(text.substr(0, text.find('\n')), Side::kBoth, std::nullopt)};
}

}  // namespace kvcomm::jinja
