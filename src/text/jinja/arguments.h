// The arguments of a call, placed on the names of its parameters as Python does.
#pragma once

#include <initializer_list>

#include "text/jinja/value.h"

namespace kvcomm::jinja {

class Bound {
 public:
  // names: of the parameters in order, "" for one that has no name; the first `required` must be
  // given. Fails where Python raises TypeError. function: for that sentence.
  Bound(std::string_view function, const Arguments& arguments,
        std::initializer_list<std::string_view> names, size_t required = 0);

  // What was given for parameter i; nullptr if nothing was.
  const Value* operator[](size_t i) const { return given_[i]; }
  // As operator[], and nullptr of None too.
  const Value* some(size_t i) const;
  bool truth(size_t i, bool otherwise) const;
  int64_t integer(size_t i, int64_t otherwise) const;
  const std::string& text(size_t i) const;  // fails for what is no text
  std::string text(size_t i, std::string_view otherwise) const;

 private:
  std::string function_;
  std::vector<const Value*> given_;
};

}  // namespace kvcomm::jinja
