// Jinja's filters, tests and global functions by name.
#pragma once

#include "text/jinja/value.h"

namespace kvcomm::jinja {

using Filter = Value (*)(const Value& input, const Arguments& arguments);
using Test = bool (*)(const Value& input, const Arguments& arguments);

// nullptr where there is none. Those that Jinja has and this program does not follow are named by
// is_unfollowed_filter().
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);
bool is_unfollowed_filter(std::string_view name);

// range, dict, namespace, raise_exception; none: no such function. joiner, cycler, lipsum and self
// are Jinja's too, and not followed.
std::optional<Value> find_global(std::string_view name);
bool is_unfollowed_global(std::string_view name);

// json.dumps() with ensure_ascii=False and Python's separators unless they are given.
Value to_json(const Value& input, const Arguments& arguments);

}  // namespace kvcomm::jinja
