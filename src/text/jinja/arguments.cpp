#include "text/jinja/arguments.h"

#include <fmt/format.h>

#include <algorithm>

namespace kvcomm::jinja {

Bound::Bound(std::string_view function, const Arguments& arguments,
             std::initializer_list<std::string_view> names, size_t required)
    : function_(function), given_(names.size(), nullptr) {
  if (arguments.positional.size() > names.size()) {
    throw TemplateError(fmt::format("{}() takes at most {} arguments, {} are given", function,
                                    names.size(), arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) given_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::ranges::find(names, name);
    const auto place = static_cast<size_t>(found - names.begin());
    if (found == names.end() || given_[place]) {
      throw TemplateError(fmt::format("{}() got an unexpected argument '{}'", function, name));
    }
    given_[place] = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!given_[i])
      throw TemplateError(fmt::format("{}() misses its argument {}", function, i + 1));
  }
}

const Value* Bound::some(size_t i) const {
  return given_[i] && !given_[i]->is<None>() ? given_[i] : nullptr;
}

bool Bound::truth(size_t i, bool otherwise) const {
  return given_[i] ? jinja::truth(*given_[i]) : otherwise;
}

int64_t Bound::integer(size_t i, int64_t otherwise) const {
  return given_[i] ? to_integer(*given_[i]) : otherwise;
}

const std::string& Bound::text(size_t i) const {
  const std::string* text = given_[i] ? given_[i]->text() : nullptr;
  if (text) return *text;
  if (given_[i] && given_[i]->is<Undefined>()) {
    throw TemplateError(std::get<Undefined>(*given_[i]).complaint);
  }
  throw TemplateError(fmt::format("{}() takes a text as its argument {}, not {}", function_, i + 1,
                                  given_[i] ? type_name(*given_[i]) : "nothing"));
}

std::string Bound::text(size_t i, std::string_view otherwise) const {
  return given_[i] ? text(i) : std::string(otherwise);
}

}  // namespace kvcomm::jinja
