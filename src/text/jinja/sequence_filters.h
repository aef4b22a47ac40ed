// The filters that go through sequences.
#pragma once

#include "text/jinja/value.h"

namespace kvcomm::jinja {

Value batch(const Value& input, const Arguments& arguments);
Value first(const Value& input, const Arguments& arguments);
Value items_of_dict(const Value& input, const Arguments& arguments);
Value join_filter(const Value& input, const Arguments& arguments);
Value largest(const Value& input, const Arguments& arguments);
Value last(const Value& input, const Arguments& arguments);
Value length_filter(const Value& input, const Arguments& arguments);
Value list_of(const Value& input, const Arguments& arguments);
Value map_filter(const Value& input, const Arguments& arguments);
Value reject(const Value& input, const Arguments& arguments);
Value reject_attribute(const Value& input, const Arguments& arguments);
Value reverse(const Value& input, const Arguments& arguments);
Value select(const Value& input, const Arguments& arguments);
Value select_attribute(const Value& input, const Arguments& arguments);
Value slices(const Value& input, const Arguments& arguments);
Value smallest(const Value& input, const Arguments& arguments);
Value sort(const Value& input, const Arguments& arguments);
Value sort_dict(const Value& input, const Arguments& arguments);
Value sum(const Value& input, const Arguments& arguments);
Value unique(const Value& input, const Arguments& arguments);

}  // namespace kvcomm::jinja
