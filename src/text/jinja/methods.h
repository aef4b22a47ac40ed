// The methods of Python's texts, lists and dictionaries that templates may call.
#pragma once

#include "text/jinja/value.h"

namespace kvcomm::jinja {

// value.name where it is a method, bound to the value; none where the type has no such method.
std::optional<Value> find_method(const Value& value, const std::string& name);

// Whether Python has a method of this name that this program does not follow.
bool is_unfollowed_method(std::string_view name);

// Whether the sandbox keeps templates from value.name, since it changes the value.
bool is_unsafe_method(const Value& value, std::string_view name);

// str.format() and %.
std::string format_braces(std::string_view format, const Arguments& arguments);
std::string format_percent(std::string_view format, const Value& values);

}  // namespace kvcomm::jinja
