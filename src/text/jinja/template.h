// Jinja templates as transformers 4.53.3 renders chat templates: Jinja 3.1 in its sandbox with
// immutable values, trim_blocks and lstrip_blocks, loop controls, {% generation %}, and tojson
// without HTML's escapes. What Jinja refuses is refused; so is what Jinja does and this program
// does not, when the template is read, or at the latest when a rendering meets it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/program.h"

namespace kvcomm::jinja {

// Why a template cannot be read or rendered, and at which of its lines.
struct Failure {
  std::string what;
  int line;          // counted from 1
  std::string text;  // of that line, without the blanks around it
};

class Template {
 public:
  // source: UTF-8. Throws Failure.
  explicit Template(std::string_view source);

  // variables: all that the template is given beside Jinja's own functions. Throws Failure.
  std::string render(std::map<std::string, Value> variables) const;

 private:
  Failure failure(std::string what, int line) const;

  std::string source_;
  Block body_;
};

}  // namespace kvcomm::jinja
