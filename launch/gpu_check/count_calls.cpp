// Counts a program's calls of CUDA by name, driver's and runtime's apart: kernel launches, copies,
// waits. CUDA loads it into the program named by CUDA_INJECTION64_PATH; the counts go to
// $KVCOMM_CALLS as JSON when the program ends.
#include <cupti.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

struct Domain {
  const char* name;
  CUpti_CallbackDomain id;
  std::array<std::atomic<uint64_t>, 4096> calls{};  // by callback id: there are under a thousand
};

std::array<Domain, 2> domains{{{.name = "driver", .id = CUPTI_CB_DOMAIN_DRIVER_API},
                               {.name = "runtime", .id = CUPTI_CB_DOMAIN_RUNTIME_API}}};

bool succeeded(CUptiResult code, const char* call) {
  if (code == CUPTI_SUCCESS) return true;
  const char* why = "unknown";
  cuptiGetResultString(code, &why);
  std::fprintf(stderr, "count_calls: %s failed: %s\n", call, why);
  return false;
}

void CUPTIAPI count(void*, CUpti_CallbackDomain id, CUpti_CallbackId call, const void* data) {
  const auto* info = static_cast<const CUpti_CallbackData*>(data);
  if (info->callbackSite != CUPTI_API_ENTER) return;
  for (Domain& domain : domains) {
    if (domain.id == id && call < domain.calls.size())
      domain.calls[call].fetch_add(1, std::memory_order_relaxed);
  }
}

void write_calls(std::FILE* file, const Domain& domain) {
  const char* separator = "";
  for (uint32_t call = 0; call < domain.calls.size(); ++call) {
    const uint64_t calls = domain.calls[call];
    const char* name = nullptr;
    if (calls == 0 || cuptiGetCallbackName(domain.id, call, &name) != CUPTI_SUCCESS) continue;
    std::fprintf(file, "%s\"%s\":%llu", separator, name, static_cast<unsigned long long>(calls));
    separator = ",";
  }
}

void write_all() {
  const char* path = std::getenv("KVCOMM_CALLS");
  std::FILE* file = path == nullptr ? nullptr : std::fopen(path, "w");
  if (file == nullptr) {
    std::fprintf(stderr, "count_calls: cannot write to KVCOMM_CALLS='%s'\n",
                 path == nullptr ? "" : path);
    return;
  }
  const char* opening = "{";
  for (const Domain& domain : domains) {
    std::fprintf(file, "%s\"%s\":{", opening, domain.name);
    write_calls(file, domain);
    std::fputs("}", file);
    opening = ",";
  }
  std::fputs("}\n", file);
  std::fclose(file);
}

}  // namespace

// CUDA's driver calls this by name when it is initialised.
extern "C" int InitializeInjection() {
  CUpti_SubscriberHandle subscriber = nullptr;
  if (!succeeded(cuptiSubscribe(&subscriber, count, nullptr), "cuptiSubscribe")) return 0;
  for (const Domain& domain : domains) {
    if (!succeeded(cuptiEnableDomain(1, subscriber, domain.id), "cuptiEnableDomain")) return 0;
  }
  std::atexit(write_all);
  return 1;
}
