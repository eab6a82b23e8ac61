// SPDX-License-Identifier: Apache-2.0
// TRITONREPOAGENT_*: the host side of repository agents. No agent is loaded by this server yet (a model whose
// configuration names one is refused by name), so nothing can hold an agent; each function says so.
#include "core/abi/abi.h"

TRITONSERVER_Error *TRITONREPOAGENT_ApiVersion(uint32_t *major, uint32_t *minor)
{
    *major = TRITONREPOAGENT_API_VERSION_MAJOR;
    *minor = TRITONREPOAGENT_API_VERSION_MINOR;
    return NULL;
}

TRITONSERVER_Error *TRITONREPOAGENT_ModelRepositoryLocation(
    TRITONREPOAGENT_Agent *agent, TRITONREPOAGENT_AgentModel *model,
    TRITONREPOAGENT_ArtifactType *artifact_type, const char **location)
{
    (void)agent;
    (void)model;
    (void)artifact_type;
    (void)location;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *TRITONREPOAGENT_ModelRepositoryLocationAcquire(
    TRITONREPOAGENT_Agent *agent, TRITONREPOAGENT_AgentModel *model,
    const TRITONREPOAGENT_ArtifactType artifact_type, const char **location)
{
    (void)agent;
    (void)model;
    (void)artifact_type;
    (void)location;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *TRITONREPOAGENT_ModelRepositoryLocationRelease(
    TRITONREPOAGENT_Agent *agent, TRITONREPOAGENT_AgentModel *model, const char *location)
{
    (void)agent;
    (void)model;
    (void)location;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *TRITONREPOAGENT_ModelRepositoryUpdate(
    TRITONREPOAGENT_Agent *agent, TRITONREPOAGENT_AgentModel *model,
    const TRITONREPOAGENT_ArtifactType artifact_type, const char *location)
{
    (void)agent;
    (void)model;
    (void)artifact_type;
    (void)location;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *TRITONREPOAGENT_ModelParameterCount(TRITONREPOAGENT_Agent *agent,
                                                        TRITONREPOAGENT_AgentModel *model,
                                                        uint32_t *count)
{
    (void)agent;
    (void)model;
    (void)count;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *TRITONREPOAGENT_ModelParameter(TRITONREPOAGENT_Agent *agent,
                                                   TRITONREPOAGENT_AgentModel *model,
                                                   const uint32_t index,
                                                   const char **parameter_name,
                                                   const char **parameter_value)
{
    (void)agent;
    (void)model;
    (void)index;
    (void)parameter_name;
    (void)parameter_value;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *TRITONREPOAGENT_ModelConfig(TRITONREPOAGENT_Agent *agent,
                                                TRITONREPOAGENT_AgentModel *model,
                                                const uint32_t config_version,
                                                TRITONSERVER_Message **model_config)
{
    (void)agent;
    (void)model;
    (void)config_version;
    (void)model_config;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *TRITONREPOAGENT_ModelState(TRITONREPOAGENT_AgentModel *model, void **state)
{
    (void)model;
    (void)state;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *TRITONREPOAGENT_ModelSetState(TRITONREPOAGENT_AgentModel *model, void *state)
{
    (void)model;
    (void)state;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *TRITONREPOAGENT_State(TRITONREPOAGENT_Agent *agent, void **state)
{
    (void)agent;
    (void)state;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *TRITONREPOAGENT_SetState(TRITONREPOAGENT_Agent *agent, void *state)
{
    (void)agent;
    (void)state;
    return abi_unbuilt(__func__);
}
