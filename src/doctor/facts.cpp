#include "doctor/facts.h"

namespace kvcomm::doctor {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Gpu, index, name, pci, uuid, capability)

namespace {

// The members that are texts and numbers, in one place for both directions.
template <typename Facts, typename Visit>
void each_member(Facts& facts, const Visit& visit) {
  visit("rank", facts.rank);
  visit("host", facts.host);
  visit("node", facts.node);
  visit("ranks_on_node", facts.ranks_on_node);
  visit("rank_on_node", facts.rank_on_node);
  visit("cores", facts.cores);
  visit("cores_allowed", facts.cores_allowed);
  visit("memory_bytes", facts.memory_bytes);
  visit("device", facts.device);
  visit("gpus_visible", facts.gpus_visible);
  visit("files", facts.files);
  visit("unreadable", facts.unreadable);
  visit("free_bytes", facts.free_bytes);
  visit("free_files", facts.free_files);
  visit("rows", facts.rows);
  visit("needed_alone", facts.needed_alone);
  visit("needed_by_end", facts.needed_by_end);
}

}  // namespace

void to_json(nlohmann::json& json, const RankFacts& facts) {
  each_member(facts, [&](const char* name, const auto& member) { json[name] = member; });
  if (facts.gpu) json["gpu"] = *facts.gpu;
}

// What a look that failed did not tell stays as it is.
void from_json(const nlohmann::json& json, RankFacts& facts) {
  each_member(facts, [&](const char* name, auto& member) {
    if (json.contains(name)) json.at(name).get_to(member);
  });
  if (json.contains("gpu")) facts.gpu = json.at("gpu").get<Gpu>();
}

}  // namespace kvcomm::doctor
